"""How well the scores name the labels: thresholds, per-label scores, averages.

The protocol of the authors' code (Yan et al. 2019, arXiv:1904.04661, section 4.2). Thresholds are
calibrated on the validation part, label by label, and applied to the test part, whose predictions
are expanded to ancestors. Pairs that are not known count nowhere. A label without a known positive
or without a known negative is not scored: its AUC, precision, recall and F1 are NaN (null in JSON)
and in no average. Averages give each scored label the same weight.
The scores themselves are in `vision/scores.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from vision.errors import InputError
from vision.labels import LabelSpace
from vision.scores import LabelScores
from vision.targets import Targets

__all__ = [
    "LabelScores",
    "auc",
    "calibrate_thresholds",
    "evaluate_labels",
    "predict_labels",
    "score_predictions",
]

THRESHOLD_GRID: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NEVER: Final = 1.0


def calibrate_thresholds(
    scores: Tensor,
    targets: Targets,
    *,
    grid: Sequence[float] = THRESHOLD_GRID,
    uncalibrated: float | None = None,
) -> Tensor:
    """The threshold of each label with the best F1 before expansion; of equal ones, the lowest.

    Args:
        scores: Probabilities on the validation part. Shape: (N, C), in [0, 1].
        targets: What is known of it.
        grid: The thresholds to try, ascending.
        uncalibrated: The threshold of a label that cannot be scored there. By default the
            (lower) median of the other labels' thresholds; without any, the middle of the grid.
            The authors' code leaves it at 0, which predicts the label everywhere.

    Returns:
        float64, from `grid`; 1 where no threshold finds a positive. Shape: (C,).

    Raises:
        InputError: If a score is not a probability.
    """
    _check(scores)
    positive, known = targets.positive, targets.known
    best = scores.new_zeros(scores.shape[1], dtype=torch.float64)
    thresholds = torch.full_like(best, NEVER)
    for threshold in grid:
        predicted = predict_labels(scores, torch.full_like(best, threshold))
        f1 = _f1(*_counts(predicted, positive, known))
        thresholds[f1 > best] = threshold
        best = torch.maximum(best, f1)
    scored = _scored(positive, known)
    if uncalibrated is None:
        uncalibrated = thresholds[scored].median().item() if scored.any() else grid[len(grid) // 2]
    thresholds[~scored] = uncalibrated
    return thresholds


def predict_labels(scores: Tensor, thresholds: Tensor) -> Tensor:
    """Whether each score reaches its label's threshold.

    The comparison is in float32, as in the authors' code: the float32 score 0.7 reaches the
    threshold 0.7, although it is below the float64 number.

    Args:
        scores: Probabilities. Shape: (N, C).
        thresholds: One for each label. Shape: (C,).

    Returns:
        bool. Shape: (N, C).
    """
    return scores.float() >= thresholds.to(scores.device).float()


def evaluate_labels(
    scores: Tensor,
    positive: Tensor,
    known: Tensor,
    thresholds: Tensor,
    space: LabelSpace,
    *,
    expand: bool = True,
    training_positives: Tensor | None = None,
) -> LabelScores:
    """Score probabilities against what is known.

    Unlike the authors' code, a label that is not scored still counts when predictions are
    expanded: what the test part holds does not change what is predicted.

    Args:
        scores: Probabilities. Shape: (N, C), in [0, 1].
        positive: Whether the label holds. Shape: (N, C), bool.
        known: Whether the pair counts. Shape: (N, C), bool.
        thresholds: One for each label. Shape: (C,).
        space: The C labels.
        expand: Whether a predicted label brings its ancestors along. AUC is of the bare scores.
        training_positives: Positives of each label in the training part, for `by_frequency`.
            Shape: (C,).

    Raises:
        InputError: If a score is not a probability.
    """
    _check(scores)
    predicted = predict_labels(scores, thresholds)
    if expand:
        predicted = space.expand(predicted)
    return score_predictions(
        scores,
        predicted,
        positive,
        known,
        space,
        thresholds=thresholds,
        training_positives=training_positives,
    )


def score_predictions(
    scores: Tensor,
    predicted: Tensor,
    positive: Tensor,
    known: Tensor,
    space: LabelSpace,
    *,
    thresholds: Tensor | None = None,
    training_positives: Tensor | None = None,
) -> LabelScores:
    """Score predictions however made; the arguments are those of `evaluate_labels`."""
    import pandas as pd

    hits, found, there = _counts(predicted, positive, known)
    nan = torch.full_like(hits, math.nan)
    values = {
        "auc": auc(scores, positive, known),
        "precision": torch.where(found > 0, hits / found, 1.0),
        "precision_zero": torch.where(found > 0, hits / found, 0.0),
        "recall": hits / there,
        "f1": _f1(hits, found, there),
    }
    scored = _scored(positive, known)
    columns = {
        "positives": there.long(),
        "negatives": (known & ~positive).sum(0),
        "predicted": found.long(),
        "hits": hits.long(),
        "threshold": nan if thresholds is None else thresholds,
        **{name: torch.where(scored, value, nan) for name, value in values.items()},
    }
    if training_positives is not None:
        columns["training_positives"] = training_positives
    table = pd.DataFrame({k: v.cpu().numpy() for k, v in columns.items()}, index=list(space.names))
    table.insert(0, "class", list(space.classes))
    return LabelScores(table=table, lesions=len(scores))


def auc(scores: Tensor, positive: Tensor, known: Tensor) -> Tensor:
    """The area under each label's ROC curve.

        AUC = #(positive above negative) + #(equal) / 2, over #positive * #negative

    All labels at once: each column is sorted, and a positive looks up how many negatives stand
    before the run of scores equal to its own, and how many before that run's end.

    Args:
        scores: Any finite numbers. Shape: (N, C).
        positive: Shape: (N, C), bool.
        known: Pairs that count. Shape: (N, C), bool.

    Returns:
        float64, NaN without a known positive or negative. Shape: (C,).

    Example:
        >>> scores = torch.tensor([[0.1], [0.4], [0.4], [0.8]])
        >>> positive = torch.tensor([[False], [True], [False], [True]])
        >>> auc(scores, positive, torch.ones(4, 1, dtype=torch.bool))
        tensor([0.8750], dtype=torch.float64)
    """
    if not len(scores):
        return scores.new_full((scores.shape[1],), math.nan, dtype=torch.float64)
    ordered, order = scores.sort(dim=0)
    is_positive = (positive & known).gather(0, order)
    is_negative = (known & ~positive).gather(0, order)
    change = ordered[1:] != ordered[:-1]
    edge = torch.ones_like(is_positive[:1])
    place = torch.arange(len(scores), device=scores.device)[:, None].expand_as(ordered)
    start = torch.where(torch.cat((edge, change)), place, 0).cummax(0).values
    end = torch.where(torch.cat((change, edge)), place + 1, len(scores))
    end = end.flip(0).cummin(0).values.flip(0)
    before = torch.cat((torch.zeros_like(place[:1]), is_negative.cumsum(0)))
    wins = (before.gather(0, start) + before.gather(0, end)).double() / 2
    pairs = is_positive.sum(0).double() * is_negative.sum(0)
    return (wins * is_positive).sum(0) / pairs


def _check(scores: Tensor) -> None:
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise InputError(
            "The scores are no probabilities (NaN, or outside 0 to 1). Did the training diverge? "
            "Lower the learning rate, and pass the network's scores through a sigmoid."
        )


def _counts(predicted: Tensor, positive: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """True positives, predictions and positives of each label, among known pairs, as float64."""
    there = positive & known
    hits, found = predicted & there, predicted & known
    return hits.sum(0).double(), found.sum(0).double(), there.sum(0).double()


def _f1(hits: Tensor, found: Tensor, there: Tensor) -> Tensor:
    """F1 as one quotient of whole numbers, so that equal scores are equal; 0 without a hit."""
    return 2 * hits / (found + there).clamp(min=1)


def _scored(positive: Tensor, known: Tensor) -> Tensor:
    return (known & positive).any(0) & (known & ~positive).any(0)
