"""Thresholds and scores: against scikit-learn, and against the formulas one pair at a time."""

import json
import math
from time import perf_counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from vision.errors import InputError
from vision.labels import LabelSpace
from vision.metrics import (
    auc,
    calibrate_thresholds,
    evaluate_labels,
    predict_labels,
    score_predictions,
)
from vision.scores import frequency_bins
from vision.targets import Targets

GRID = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
sizes = st.tuples(st.integers(0, 30), st.integers(1, 5), st.integers(0, 2**16))


def flat_space(size):
    """Labels that are not related."""
    return LabelSpace.from_index_lists(
        [f"label {i}" for i in range(size)], ["type"] * size, [[]] * size, [[]] * size
    )


def drawn(n, size, seed):
    """Scores in steps of 0.05, so that many tie or stand on the grid; positives; known pairs."""
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randint(21, (n, size), generator=rng) / 20
    positive = torch.rand(n, size, generator=rng) < 0.3
    return scores, positive, torch.rand(n, size, generator=rng) < 0.9


def targets(positive, known):
    return Targets(positive=positive, known=known, reliable=positive)


def columns(*matrices):
    """Each label's known pairs; the last matrix says which are known."""
    *matrices, known = (m.numpy() for m in matrices)
    for c in range(known.shape[1]):
        yield tuple(m[known[:, c], c] for m in matrices)


def slow_scores(predicted, positive):
    """Precision, recall and F1 of one label by counting pairs, in Python numbers."""
    hits = sum(1 for p, y in zip(predicted, positive, strict=True) if p and y)
    found, there = sum(map(bool, predicted)), sum(map(bool, positive))
    precision = hits / found if found else 1.0
    recall = hits / there
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return precision, recall, f1


def slow_threshold(scores, positive, uncalibrated):
    """The first of the grid with the best F1; 1 if none finds anything."""
    if not 0 < sum(positive) < len(positive):
        return uncalibrated
    best, threshold = 0.0, 1.0
    for candidate in GRID:
        _, _, f1 = slow_scores(scores >= np.float32(candidate), positive)
        if f1 > best + 1e-12:
            best, threshold = f1, candidate
    return threshold


@given(sizes)
def test_auc_is_scikit_learns(sizes):
    scores, positive, known = drawn(*sizes)

    areas = auc(scores, positive, known)

    for area, (s, y) in zip(areas.tolist(), columns(scores, positive, known), strict=True):
        both = 0 < y.sum() < len(y)
        expected = roc_auc_score(y, s) if both else math.nan
        assert area == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(sizes)
def test_thresholds_match_the_search_one_label_at_a_time(sizes):
    scores, positive, known = drawn(*sizes)

    thresholds = calibrate_thresholds(scores, targets(positive, known), uncalibrated=0.25)

    expected = [slow_threshold(s, y, 0.25) for s, y in columns(scores, positive, known)]
    assert thresholds.tolist() == expected


@given(sizes)
def test_scores_match_the_formulas(sizes):
    scores, positive, known = drawn(*sizes)
    rng = torch.Generator().manual_seed(sizes[2])
    thresholds = torch.randint(1, 20, (sizes[1],), generator=rng) / 20

    table = evaluate_labels(scores, positive, known, thresholds, flat_space(sizes[1])).table

    predicted = scores >= thresholds
    for (_, row), (p, y) in zip(table.iterrows(), columns(predicted, positive, known), strict=True):
        assert (row["positives"], row["negatives"]) == (y.sum(), (~y).sum())
        both = 0 < y.sum() < len(y)
        expected = slow_scores(p, y) if both else (math.nan,) * 3
        found = (row["precision"], row["recall"], row["f1"])
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(sizes)
def test_averages_are_plain_means_over_scored_labels(sizes):
    scores, positive, known = drawn(*sizes)
    space = flat_space(sizes[1])

    result = evaluate_labels(scores, positive, known, torch.full((len(space),), 0.5), space)

    rows = [r for r in result.to_json()["per_label"].values() if r["auc"] is not None]
    summary = result.to_json()
    assert summary["labels_scored"] == len(rows)
    for name in ("auc", "precision", "precision_zero", "recall", "f1"):
        mean = sum(r[name] for r in rows) / len(rows) if rows else None
        assert summary[name] == (pytest.approx(mean, abs=1e-12) if rows else None)
    weight = sum(r["positives"] for r in rows)
    weighted = sum(r["auc"] * r["positives"] for r in rows) / weight if rows else None
    assert summary["weighted_auc"] == (pytest.approx(weighted, abs=1e-12) if rows else None)


def one_label(scores, positive):
    """A column of scores and targets, all known."""
    column = torch.tensor(scores)[:, None]
    return column, torch.tensor(positive)[:, None], torch.ones_like(column, dtype=torch.bool)


def test_of_equally_good_thresholds_the_lowest_is_taken():
    scores, positive, known = one_label([0.1, 0.95], [False, True])

    assert calibrate_thresholds(scores, targets(positive, known)).tolist() == [0.3]


def test_a_label_that_no_threshold_finds_is_never_predicted():
    scores, positive, known = one_label([0.1, 0.2], [False, True])

    assert calibrate_thresholds(scores, targets(positive, known)).tolist() == [1.0]


def test_a_label_that_cannot_be_calibrated_takes_the_median_of_the_others():
    scores = torch.tensor([[0.35, 0.55, 0.1, 0.5], [0.45, 0.65, 0.2, 0.5]])
    positive = torch.tensor([[False, False, False, False], [True, True, True, False]])
    known = torch.ones_like(positive)

    assert calibrate_thresholds(scores, targets(positive, known)).tolist() == [0.4, 0.6, 1.0, 0.6]


def test_with_nothing_to_calibrate_on_the_middle_of_the_grid_is_taken():
    scores, positive, known = one_label([0.1], [False])

    assert calibrate_thresholds(scores, targets(positive, known)).tolist() == [0.6]


@pytest.mark.parametrize("threshold", GRID)
def test_a_score_on_the_grid_reaches_its_threshold(threshold):
    scores = torch.tensor([[threshold]], dtype=torch.float32)

    assert predict_labels(scores, torch.tensor([threshold], dtype=torch.float64)).all()


def test_predictions_bring_their_ancestors_along():
    space = LabelSpace.from_index_lists(
        ["lung", "left lung"], ["bodypart"] * 2, [[], [0]], [[]] * 2
    )
    scores = torch.tensor([[0.1, 0.9], [0.2, 0.2]])
    positive = torch.tensor([[True, True], [False, False]])
    arguments = (scores, positive, torch.ones_like(positive), torch.tensor([0.5, 0.5]), space)

    expanded = evaluate_labels(*arguments).table
    bare = evaluate_labels(*arguments, expand=False).table

    assert expanded.loc["lung", "recall"] == 1
    assert bare.loc["lung", "recall"] == 0
    assert expanded.loc["lung", "auc"] == bare.loc["lung", "auc"] == 0


def test_unknown_pairs_count_nowhere():
    scores, positive, known = drawn(12, 4, 7)
    space, thresholds = flat_space(4), torch.full((4,), 0.5)
    other = torch.where(known, scores, 1 - scores), torch.where(known, positive, ~positive)

    first = evaluate_labels(scores, positive, known, thresholds, space)
    second = evaluate_labels(*other, known, thresholds, space)

    assert not known.all()
    assert first.to_json() == second.to_json()


@pytest.mark.parametrize("value", [False, True])
def test_a_label_without_both_is_null_and_in_no_average(value):
    scores = torch.tensor([[0.9, 0.9], [0.1, 0.9]])
    positive = torch.tensor([[True, value], [False, value]])

    summary = evaluate_labels(
        scores, positive, torch.ones_like(positive), torch.tensor([0.5, 0.5]), flat_space(2)
    ).to_json()

    assert summary["per_label"]["label 1"] == {
        "auc": None,
        "precision": None,
        "precision_zero": None,
        "recall": None,
        "f1": None,
        "threshold": 0.5,
        "positives": 2 * value,
    }
    assert (summary["auc"], summary["f1"], summary["labels_scored"]) == (1, 1, 1)
    assert summary["pooled"]["precision"] == (1 if value else 1 / 3)


def test_a_label_that_is_never_predicted_has_two_precisions():
    scores, positive, known = one_label([0.1, 0.2], [False, True])

    summary = evaluate_labels(scores, positive, known, torch.tensor([1.0]), flat_space(1)).to_json()

    assert (summary["precision"], summary["precision_zero"]) == (1, 0)
    assert (summary["recall"], summary["f1"]) == (0, 0)
    assert summary["pooled"] == {"precision": 1, "recall": 0, "f1": 0}


def test_an_empty_part_scores_nothing():
    nothing = torch.zeros(0, 2, dtype=torch.bool)

    summary = evaluate_labels(
        nothing.float(), nothing, nothing, torch.tensor([0.5, 0.5]), flat_space(2)
    ).to_json()

    assert summary["labels_scored"] == 0
    assert summary["auc"] is summary["weighted_auc"] is summary["pooled"]["f1"] is None


def test_averages_by_class_and_by_frequency():
    space = LabelSpace.from_index_lists(
        ["lung", "nodule", "large"], ["bodypart", "type", "attribute"], [[]] * 3, [[]] * 3
    )
    scores = torch.tensor([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]])
    positive = torch.tensor([[True, True, True], [False, False, False]])

    result = evaluate_labels(
        scores,
        positive,
        torch.ones_like(positive),
        torch.full((3,), 0.5),
        space,
        training_positives=torch.tensor([1001, 1000, 100]),
    )

    assert {k: v["auc"] for k, v in result.by_class.items()} == {
        "bodypart": 1,
        "type": 1,
        "attribute": 0,
    }
    assert {k: v["labels_scored"] for k, v in result.by_frequency.items()} == {
        "> 1,000": 1,
        "101-1,000": 1,
        "<= 100": 1,
    }
    assert result.by_frequency["<= 100"]["auc"] == 0
    json.dumps(result.to_json(), allow_nan=False)


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_every_count_falls_into_one_bin(most, count):
    bins = list(frequency_bins(most))

    assert sum(low <= count <= high for _, low, high in bins) == 1


def test_predictions_made_otherwise_are_scored_too():
    scores, positive, known = one_label([0.4, 0.6], [True, False])

    row = score_predictions(scores, scores < 0.5, positive, known, flat_space(1)).to_json()

    assert row["per_label"]["label 0"]["f1"] == 1
    assert row["per_label"]["label 0"]["threshold"] is None


@pytest.mark.parametrize("value", [math.nan, -0.1, 7.0])
def test_what_is_no_probability_is_refused(value):
    scores, positive, known = one_label([0.5, value], [True, False])

    with pytest.raises(InputError, match="no probabilities"):
        calibrate_thresholds(scores, targets(positive, known))
    with pytest.raises(InputError, match="no probabilities"):
        evaluate_labels(scores, positive, known, torch.tensor([0.5]), flat_space(1))


def test_the_size_of_the_papers_test_part_takes_well_under_a_second():
    rng = torch.Generator().manual_seed(0)
    scores = torch.rand(1759, 171, generator=rng)
    positive = torch.rand(1759, 171, generator=rng) < 0.02
    known = torch.ones_like(positive)
    space = flat_space(171)

    def seconds():
        start = perf_counter()
        thresholds = calibrate_thresholds(scores, targets(positive, known))
        evaluate_labels(scores, positive, known, thresholds, space).to_json()
        return perf_counter() - start

    assert min(seconds() for _ in range(3)) < 1
