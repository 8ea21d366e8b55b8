"""What scores are worth at every threshold, and whether they are probabilities.

Pairs that are not known count nowhere, as in `vision/metrics.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]

CALIBRATION_BINS = 15  # Guo et al. 2017, arXiv:1706.04599, section 5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curves:
    """ROC and precision-recall curve of a label: a point for each threshold, the highest first.

    The first point stands for a threshold above all scores, where nothing is predicted and
    precision counts as 1; then comes one for each of T different scores. Shape: (T + 1,) each.
    """

    threshold: Floats
    recall: Floats
    fall_out: Floats
    precision: Floats

    @property
    def auc(self) -> float:
        """The area under the ROC curve, equal scores counted as half."""
        widths = np.diff(self.fall_out)
        return float((widths * (self.recall[1:] + self.recall[:-1]) / 2).sum())

    @property
    def average_precision(self) -> float:
        """The precision at each threshold, weighted by the recall it adds (no interpolation)."""
        return float((np.diff(self.recall) * self.precision[1:]).sum())

    def at(self, threshold: float) -> tuple[float, float, float]:
        """Recall, fall-out and precision when scores from `threshold` on are predicted."""
        place = int((self.threshold >= np.float32(threshold)).sum()) - 1
        return (
            float(self.recall[place]),
            float(self.fall_out[place]),
            float(self.precision[place]),
        )


def label_curves(scores: Tensor, positive: Tensor, known: Tensor) -> Curves | None:
    """The curves of one label, or None where no known positive or no known negative is.

    Args:
        scores: Any finite numbers. Shape: (N,).
        positive: Shape: (N,), bool.
        known: Pairs that count. Shape: (N,), bool.

    Example:
        >>> scores = torch.tensor([0.1, 0.4, 0.4, 0.8])
        >>> positive = torch.tensor([False, True, False, True])
        >>> curves = label_curves(scores, positive, torch.ones(4, dtype=torch.bool))
        >>> curves.recall.tolist(), curves.fall_out.tolist()
        ([0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])
        >>> curves.auc
        0.875
    """
    ordered, order = scores[known].float().sort(descending=True)
    hit = positive[known][order].numpy()
    if hit.all() or not hit.any():
        return None
    values = ordered.numpy().astype(np.float64)
    last = np.append(values[1:] != values[:-1], True)  # of a run of equal scores
    hits, found = hit.cumsum()[last], np.arange(1, len(hit) + 1)[last]
    return Curves(
        threshold=np.concatenate(([np.inf], values[last])),
        recall=_from_zero(hits / hit.sum()),
        fall_out=_from_zero((found - hits) / (~hit).sum()),
        precision=np.concatenate(([1.0], hits / found)),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """How often pairs hold that got scores in each of B bins of equal width.

    Attributes:
        count: The pairs in the bin. Shape: (B,).
        score: Their mean score, NaN in an empty bin. Shape: (B,).
        share: The share of them that hold, NaN in an empty bin. Shape: (B,).
    """

    count: Floats
    score: Floats
    share: Floats

    @property
    def error(self) -> float:
        """The expected calibration error; NaN without pairs.

            ECE = sum_b count_b / sum(count) * |share_b - score_b|

        Guo et al. 2017, arXiv:1706.04599, eq. 3, for the probability that a label holds.
        """
        if not self.count.sum():
            return float("nan")
        gaps = np.where(self.count > 0, np.abs(self.share - self.score), 0.0)
        return float((gaps * self.count).sum() / self.count.sum())


def calibration(
    scores: Tensor, positive: Tensor, known: Tensor, *, bins: int = CALIBRATION_BINS
) -> Calibration:
    """Compare scores with how often the pairs hold.

    Args:
        scores: Probabilities of any shape, in [0, 1].
        positive: Whether the label holds; bool, of the same shape.
        known: Pairs that count; bool, of the same shape.
        bins: How many; the first holds 0, each holds its lower bound, the last also 1.

    Example:
        >>> scores = torch.tensor([0.1, 0.2, 0.9, 0.9])
        >>> positive = torch.tensor([False, False, True, False])
        >>> found = calibration(scores, positive, torch.ones(4, dtype=torch.bool), bins=2)
        >>> found.count.tolist(), found.share.tolist(), round(found.error, 3)
        ([2.0, 2.0], [0.0, 0.5], 0.275)
    """
    values = scores[known].double().numpy()
    holds = positive[known].double().numpy()
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    count, total, there = (
        np.bincount(place, weights=weights, minlength=bins).astype(np.float64)
        for weights in (np.ones_like(values), values, holds)
    )
    with np.errstate(invalid="ignore"):
        return Calibration(count=count, score=total / count, share=there / count)


def mean_calibration_error(scores: Tensor, positive: Tensor, known: Tensor) -> float:
    """The plain mean of the labels' calibration errors, over those that can be scored.

    Shape of each: (N, C). NaN if no label has a known positive and a known negative.
    """
    scored = (positive & known).any(0) & (known & ~positive).any(0)
    errors = [
        calibration(scores[:, c], positive[:, c], known[:, c]).error
        for c in scored.nonzero().flatten().tolist()
    ]
    return float(torch.tensor(errors, dtype=torch.float64).mean())


def _from_zero(values: npt.NDArray[Any]) -> Floats:
    return np.concatenate(([0.0], values))
