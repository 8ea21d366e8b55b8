"""Thresholds and metrics against the reference's numbers."""

import math

import pytest
import torch

from vision.labels import LabelSpace
from vision.metrics import calibrate_thresholds, evaluate_labels, predict_labels, score_predictions
from vision.targets import Targets


def bits(rows):
    return torch.tensor([[c == "1" for c in row] for row in rows])


@pytest.fixture
def fixture(numbers):
    return numbers("calibration_metrics")


@pytest.fixture
def space(fixture):
    """The reference expands in a single pass over the listed parents."""
    parents = fixture["parent_index_lists"]
    ancestors = torch.zeros(len(parents), len(parents), dtype=torch.bool)
    for label, above in enumerate(parents):
        ancestors[label, torch.tensor(above, dtype=torch.long)] = True
    return LabelSpace(
        names=tuple(map(str, range(len(parents)))),
        classes=("type",) * len(parents),
        ancestors=ancestors,
        exclusives=torch.zeros_like(ancestors),
    )


@pytest.fixture
def part(fixture):
    def read(split):
        scores = torch.tensor(fixture[f"{split}_scores"])
        return scores, bits(fixture[f"{split}_labels"]), ~bits(fixture[f"{split}_ignored"])

    return read


@pytest.fixture
def thresholds(part):
    """The reference gives a label that cannot be scored the threshold 0."""
    scores, positive, known = part("val")
    targets = Targets(positive=positive, known=known, reliable=known)
    return calibrate_thresholds(scores, targets, uncalibrated=0.0)


def scorable(positive, known):
    """The labels with both; the reference predicts no other, so pooled scores lack them."""
    return (positive & known).any(0) & (~positive & known).any(0)


def assert_scores(scores, expected):
    """Every number that the reference reports; null where a label is not scored."""
    summary = scores.to_json()
    labels = summary["per_label"].values()
    for score in ("precision", "recall", "f1"):
        assert nan_for_null(row[score] for row in labels) == near(
            nan_for_null(expected[f"perclass_{score}s"])
        )
        assert summary[score] == near(expected[f"mean_perclass_{score}"])
        assert summary["pooled"][score] == near(expected[f"overall_{score}"])
    assert nan_for_null(row["auc"] for row in labels) == near(
        nan_for_null(expected["auc_perclass"])
    )
    assert summary["auc"] == near(expected["mean_auc"])
    assert summary["weighted_auc"] == near(expected["wt_mean_auc"])


def nan_for_null(values):
    return [math.nan if value is None else value for value in values]


def near(value):
    """The numbers are written with 12 digits."""
    return pytest.approx(value, rel=1e-9, nan_ok=True)


def test_thresholds(fixture, thresholds):
    assert thresholds.float().tolist() == torch.tensor(fixture["thresholds"]).float().tolist()


@pytest.mark.parametrize("split", ["val", "test"])
def test_metrics_after_calibration(fixture, part, space, thresholds, split):
    scores, positive, known = part(split)
    known &= scorable(positive, known)

    evaluated = evaluate_labels(scores, positive, known, thresholds, space)

    assert_scores(evaluated, fixture[f"{split}_metrics"])


@pytest.mark.parametrize("split", ["val", "test"])
def test_predictions_of_the_scored_pairs(fixture, part, space, thresholds, split):
    """The reference predicts no pair that it does not score; we do, and leave it out later."""
    scores, positive, known = part(split)
    scored = known & scorable(positive, known)

    predicted = predict_labels(scores, thresholds) & scored

    expected = bits(fixture[f"{split}_pred_after_expansion"])
    assert torch.equal(space.expand(predicted), expected)


def test_metrics_of_the_five_best_labels(fixture, part, space):
    scores, positive, known = part("test")
    predicted = torch.zeros_like(positive).scatter(1, scores.topk(5).indices, True)

    assert torch.equal(predicted, bits(fixture["test_top5_pred"]))
    assert_scores(
        score_predictions(scores, predicted, positive, known, space), fixture["test_top5_metrics"]
    )
