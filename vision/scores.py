"""The scores of every label, and what they come to.

Averages give each scored label the same weight. The authors of LesaNet (Yan et al. 2019,
arXiv:1904.04661) count a precision of 1 for a label that is never predicted, which lifts the mean
of their released model from 0.413 to 0.473: `precision` is theirs, `precision_zero` counts it as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

SCORES: Final = ("auc", "precision", "precision_zero", "recall", "f1")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelScores:
    """Scores of every label, and their averages.

    Attributes:
        table: One row for each label, named by it. Columns: class; positives, negatives,
            predicted and hits, counted in known pairs; threshold; training_positives, where
            given; the five scores, NaN where the label is not scored.
        lesions: How many lesions were scored.
    """

    table: pd.DataFrame
    lesions: int

    @property
    def scored(self) -> pd.DataFrame:
        """The rows of the labels that have both a known positive and a known negative."""
        return self.table[(self.table["positives"] > 0) & (self.table["negatives"] > 0)]

    @property
    def averages(self) -> dict[str, Any]:
        """The plain means over scored labels, and how many there are."""
        return _averages(self.scored)

    @property
    def weighted_auc(self) -> float | None:
        """The mean AUC, each label weighted by its positives (MULAN's often quoted figure)."""
        scored = self.scored
        weight = scored["positives"]
        return _number((scored["auc"] * weight).sum() / weight.sum()) if len(scored) else None

    @property
    def pooled(self) -> dict[str, float | None]:
        """Precision, recall and F1 over the known pairs of all labels together.

        A label without a positive has its place here: to predict it is wrong.
        """
        hits, found, there = (
            float(self.table[k].sum()) for k in ("hits", "predicted", "positives")
        )
        if not there:
            return {"precision": None, "recall": None, "f1": None}
        return {
            "precision": hits / found if found else 1.0,
            "recall": hits / there,
            "f1": 2 * hits / (found + there),
        }

    @property
    def by_class(self) -> dict[str, dict[str, Any]]:
        """The averages over body parts, types and attributes."""
        classes = self.table["class"]
        return {
            kind: _averages(self.scored[self.scored["class"] == kind]) for kind in classes.unique()
        }

    @property
    def by_frequency(self) -> dict[str, dict[str, Any]]:
        """The averages over frequent, less frequent and rare labels of the training part.

        With more than 1,000 positives of a label the paper's bins, > 1,000, 101 to 1,000 and
        <= 100; in a smaller training part the bounds are a power of ten lower. Empty where the
        training part was not given.
        """
        if "training_positives" not in self.table:
            return {}
        scored, counts = self.scored, self.scored["training_positives"]
        return {
            name: _averages(scored[(counts >= low) & (counts <= high)])
            for name, low, high in frequency_bins(int(self.table["training_positives"].max()))
        }

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values, null where a label or an average is not scored."""
        per_label = {
            str(name): {k: _number(row[k]) for k in (*SCORES, "threshold")}
            | {"positives": int(row["positives"])}
            for name, row in self.table.iterrows()
        }
        return {
            "lesions": self.lesions,
            **self.averages,
            "weighted_auc": self.weighted_auc,
            "pooled": self.pooled,
            "by_class": self.by_class,
            "by_frequency": self.by_frequency,
            "per_label": per_label,
        }


def frequency_bins(most: int) -> Iterator[tuple[str, float, float]]:
    """Name, least and greatest count of three bins, when the most frequent label has `most`.

    Example:
        >>> [name for name, *_ in frequency_bins(7599)]
        ['> 1,000', '101-1,000', '<= 100']
        >>> [name for name, *_ in frequency_bins(270)]
        ['> 100', '11-100', '<= 10']
    """
    top = next((bound for bound in (1000, 100) if most > bound), 10)
    yield f"> {top:,}", top + 1, math.inf
    yield f"{top // 10 + 1:,}-{top:,}", top // 10 + 1, top
    yield f"<= {top // 10:,}", -math.inf, top // 10


def _averages(scored: pd.DataFrame) -> dict[str, Any]:
    means = {name: _number(scored[name].mean()) for name in SCORES}
    return {**means, "labels_scored": len(scored)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
