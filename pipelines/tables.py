"""The tables of a report: each label's scores, means over groups of labels, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from vision.scores import LabelScores

CLASSES: Final = ("bodypart", "type", "attribute")
_COUNTS: Final = ("training_positives", "positives", "negatives", "predicted", "hits")
_SCORES: Final = ("auc", "average_precision", "precision", "precision_zero", "recall", "f1")


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """What is known of N lesions of the split, and by what: reports (mined) or people (gold).

    `rows` are their numbers in the split; `probabilities`, `positive` and `known` have the shape
    (N, C); `scores` is what they come to.
    """

    name: str
    rows: list[int]
    probabilities: Tensor
    positive: Tensor
    known: Tensor
    scores: LabelScores


def label_table(source: Source) -> pd.DataFrame:
    """`LabelScores.table`, and of each label the average precision and the calibration error."""
    from vision.curves import calibration, label_curves

    table = source.scores.table.copy()
    parts = list(
        zip(source.probabilities.T, source.positive.T, source.known.T, strict=True)
    )  # a label each
    curves = [label_curves(*part) for part in parts]
    table["average_precision"] = [math.nan if c is None else c.average_precision for c in curves]
    table["calibration_error"] = [
        math.nan if c is None else calibration(*part).error
        for c, part in zip(curves, parts, strict=True)
    ]
    return table


def averages_table(scores: LabelScores) -> pd.DataFrame:
    """The mean scores over all labels, over each class, and over each bin of frequency."""
    import pandas as pd

    groups = {"all labels": scores.averages, **scores.by_class}
    groups |= {f"{name} in training": row for name, row in scores.by_frequency.items()}
    table = pd.DataFrame.from_dict(groups, orient="index").rename_axis("labels")
    return table.astype({name: float for name in table.columns if name != "labels_scored"})


def by_class_and_frequency(table: pd.DataFrame) -> pd.DataFrame:
    """Body parts, types, attributes; in each the most frequent first, as in LesaNet's table 2."""
    frequency = "training_positives" if "training_positives" in table else "positives"
    order = {kind: place for place, kind in enumerate(CLASSES)}
    ordered = table.assign(order=table["class"].map(order).fillna(len(order)))
    ordered = ordered.sort_values(["order", frequency], ascending=[True, False], kind="stable")
    counts = [name for name in _COUNTS if name in table]
    columns = ["class", *counts, "threshold", *_SCORES, "calibration_error"]
    return ordered[columns].rename_axis("label")


def bins_table(bins: Mapping[str, Any]) -> pd.DataFrame:
    """The bins of each `vision.curves.Calibration`, a row each."""
    import pandas as pd

    rows = [
        {
            "labels": name,
            "from": place / len(found.count),
            "to": (place + 1) / len(found.count),
            "pairs": int(found.count[place]),
            "mean_score": found.score[place],
            "share_that_holds": found.share[place],
        }
        for name, found in bins.items()
        for place in range(len(found.count))
    ]
    return pd.DataFrame(rows).set_index("labels")


def markdown_table(table: pd.DataFrame) -> str:
    """A table with its index as Markdown; numbers to the right, with three decimals if not whole.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"label": ["cyst"], "n": [1200], "f1": [0.25]})
        >>> print(markdown_table(table.set_index("label")), end="")
        | label | n | f1 |
        | --- | ---: | ---: |
        | cyst | 1,200 | 0.250 |
    """
    numeric = [table[name].dtype.kind in "iuf" for name in table]
    lines = [
        _line([str(table.index.name or ""), *(str(name).replace("_", " ") for name in table)]),
        _line(["---", *("---:" if right else "---" for right in numeric)]),
        *(_line(map(_cell, row)) for row in table.itertuples()),
    ]
    return "\n".join((*lines, ""))


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
