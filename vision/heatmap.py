"""The weights of score propagation as a heat map (after LesaNet's fig. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd
from torch import Tensor

from vision.labels import LabelSpace
from vision.propagation import strongest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS: Final = {"ancestor": "^", "descendant": "v", "exclusive": "x"}
MOST_LABELS: Final = 30
_ORDER: Final = ("bodypart", "type", "attribute")
_DPI: Final = 100
_CELL_PX: Final = 24


def draw_propagation(weights: Tensor, space: LabelSpace, pairs: pd.DataFrame) -> Figure:
    """Draw the weights among the labels that have the strongest.

    The diagonal, near 1, is left white. Signs in the cells are the ontology's: the row is an
    ancestor (^) or a descendant (v) of the column, or exclusive with it (x).

    Args:
        weights: From label j to label i, at [i, j]. Shape: (C, C).
        space: The C labels.
        pairs: `vision.propagation.propagation_pairs` of both.
    """
    from matplotlib.figure import Figure

    shown = chosen_labels(pairs, space)
    values = weights[shown][:, shown].double().numpy().copy()
    values[range(len(shown)), range(len(shown))] = 0
    limit = max(float(abs(values).max(initial=0)), 1e-6)
    names = [space.names[i] for i in shown]
    size = (360 + _CELL_PX * len(shown)) / _DPI
    figure = Figure(figsize=(size, size * 0.92), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    if not names:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "No label gets weight from another.", ha="center")
        return figure
    picture = axes.imshow(values, cmap="PuOr_r", vmin=-limit, vmax=limit)
    axes.set_xticks(range(len(names)), labels=names, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(range(len(names)), labels=names, fontsize=8, parse_math=False)
    place = {name: i for i, name in enumerate(names)}
    known = pairs[pairs["source"].isin(place) & pairs["target"].isin(place)]
    for relation, mark in MARKS.items():
        rows = known[known["relation"] == relation]
        axes.scatter(
            rows["source"].map(place), rows["target"].map(place), s=16, marker=mark,
            color="#222222", linewidths=0.8,
        )  # fmt: skip
    axes.set(xlabel="from the score of", ylabel="to the score of")
    axes.set_title(
        "Score propagation. By the ontology the row is, to the column:\n"
        "▲ an ancestor, ▼ a descendant, × exclusive",
        fontsize=10,
    )
    figure.colorbar(picture, ax=axes, shrink=0.7, label="weight")
    return figure


def chosen_labels(pairs: pd.DataFrame, space: LabelSpace, *, most: int = MOST_LABELS) -> list[int]:
    """The labels of the strongest pairs, positive and negative in turn, by class and in order."""
    positive, negative = strongest(pairs, count=most * most)
    names: dict[str, None] = {}
    for place in range(max(len(positive), len(negative))):
        for rows in (positive, negative):
            if place < len(rows):
                more = names | dict.fromkeys(
                    str(rows.loc[place, end]) for end in ("source", "target")
                )
                names = more if len(more) <= most else names
    found = [space.names.index(name) for name in names]
    return sorted(found, key=lambda i: (_class_order(space.classes[i]), i))


def _class_order(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
