"""Figures on a scored network's labels: by class, and by frequency in training.

Each function returns a matplotlib `Figure`. Colours are Okabe and Ito's, which colour-blind readers
tell apart; classes and scores also differ by marker, hatch or line style.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from vision.scores import frequency_bins

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, ORANGE, GREY = (
    "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #6B6B6B".split()
)


class Look(NamedTuple):
    """How a class or a score is drawn."""

    shown: str
    colour: str
    marker: str
    hatch: str
    line: str


CLASSES: Final = {
    "bodypart": Look("body part", BLUE, "o", "", "-"),
    "type": Look("type", VERMILION, "s", "////", "--"),
    "attribute": Look("attribute", GREEN, "^", "....", "-."),
}
SCORES: Final = {
    "auc": Look("AUC", BLUE, "o", "", "-"),
    "f1": Look("F1", VERMILION, "s", "////", "--"),
    "precision": Look("precision", GREEN, "^", "....", "-."),
    "recall": Look("recall", PURPLE, "D", "xxxx", ":"),
}
LEAST_POSITIVES: Final = (1, 3, 10, 30, 100, 300, 1000, 3000)
_DPI: Final = 100
_COLUMNS: Final = 3
_LEAST: Final = 0.7  # where a label that was never positive stands on a logarithmic axis


def draw_auc(table: pd.DataFrame) -> Figure:
    """AUC of each scored label: by class, and against its positives in training.

    Args:
        table: That of `vision.scores.LabelScores`. Without `training_positives` the second panel
            stays away.
    """
    scored = table[table["auc"].notna()]
    by_class = {k: rows for k in CLASSES if len(rows := scored[scored["class"] == k])}
    with_training = "training_positives" in table
    figure = new_figure(1000 if with_training else 500, 420)
    panels = figure.subplots(1, 1 + with_training, squeeze=False, sharey=True)[0]
    _draw_auc_by_class(panels[0], by_class)
    if with_training:
        _draw_auc_by_frequency(panels[1], by_class)
        _draw_means(panels[1], scored)
    for axes in panels:
        axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    return figure


def _draw_auc_by_class(axes: Axes, by_class: Mapping[str, pd.DataFrame]) -> None:
    for place, (kind, rows) in enumerate(by_class.items()):
        values, look = np.sort(rows["auc"].to_numpy(float)), CLASSES[kind]
        spread = place + 0.3 * (((np.arange(len(values)) * 0.618) % 1) - 0.5)
        axes.plot(spread, values, look.marker, color=look.colour, alpha=0.75)
        axes.hlines(np.median(values), place - 0.3, place + 0.3, "black", linewidth=2)
    names = [f"{CLASSES[kind].shown}\n({_labels(len(rows))})" for kind, rows in by_class.items()]
    axes.set_xticks(range(len(names)), labels=names)
    axes.set(ylabel="AUC", title="By class; bars are medians", xlim=(-0.6, len(names) - 0.4))


def _draw_auc_by_frequency(axes: Axes, by_class: Mapping[str, pd.DataFrame]) -> None:
    for kind, rows in by_class.items():
        look, counts = CLASSES[kind], rows["training_positives"].clip(lower=_LEAST)
        axes.plot(counts, rows["auc"], look.marker, color=look.colour, alpha=0.75, label=look.shown)
    most = max((rows["training_positives"].max() for rows in by_class.values()), default=1)
    axes.set_xlim(_LEAST / 1.3, 3 * max(most, 1))  # room for the last mean's words
    title = "By frequency; bars are means"
    axes.set(xscale="log", xlabel="positive lesions in training", title=title, ylim=(None, 1.03))
    _plain_numbers(axes)
    if by_class:
        axes.legend(fontsize=9, loc="lower right")


def _draw_means(axes: Axes, scored: pd.DataFrame) -> None:
    """A bar for the mean AUC of each of the three bins of frequency."""
    counts = scored["training_positives"]
    most = int(counts.max()) if len(scored) else 0
    for _, low, high in frequency_bins(most):
        rows = scored[(counts >= low) & (counts <= high)]
        if len(rows):
            start, end, mean = max(low, _LEAST), min(high, most), rows["auc"].mean()
            axes.hlines(mean, start, end, color="black", linewidth=2)
            axes.annotate(
                f"{mean:.3f}, {_labels(len(rows))}", ((start * end) ** 0.5, mean), xytext=(0, -4),
                textcoords="offset points", ha="center", va="top", fontsize=8,
                bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
            )  # fmt: skip


def draw_frequency_subsets(table: pd.DataFrame) -> Figure:
    """The mean scores over labels that are frequent enough in training (after LesaNet's fig. 5).

    The first panel takes all labels with at least so many training positives, the second the
    three bins of `frequency_bins`.

    Args:
        table: That of `vision.scores.LabelScores`, with `training_positives`.
    """
    scored = table[table["auc"].notna()]
    counts = scored["training_positives"]
    most = int(counts.max()) if len(scored) else 0
    figure = new_figure(1000, 420)
    left, right = figure.subplots(1, 2, sharey=True)
    least = [n for n in LEAST_POSITIVES if n <= most] or [0]
    subsets = {f"{n:,}": scored[counts >= n] for n in least}
    bins = {n: scored[(counts >= lo) & (counts <= hi)] for n, lo, hi in frequency_bins(most)}
    bins = {n: rows for n, rows in reversed(bins.items()) if len(rows)}
    for place, (key, look) in enumerate(SCORES.items()):
        means = [rows[key].mean() for rows in subsets.values()]
        left.plot(
            range(len(means)), means, color=look.colour, marker=look.marker, linestyle=look.line,
            label=look.shown,
        )  # fmt: skip
        heights = [rows[key].mean() for rows in bins.values()]
        bars = right.bar(
            np.arange(len(bins)) + 0.2 * (place - 1.5), heights,
            0.2, color=look.colour, hatch=look.hatch, edgecolor="white", label=look.shown,
        )  # fmt: skip
        right.bar_label(bars, fmt="{:.2f}", fontsize=7, padding=1)
    for axes, parts in ((left, subsets), (right, bins)):
        names = [f"{name}\n({_labels(len(rows))})" for name, rows in parts.items()]
        axes.set_xticks(range(len(parts)), labels=names)
        axes.set(ylim=(0, 1.08), ylabel="mean over labels")
    left.set(xlabel="training positives, at least", title="Labels at least so frequent")
    right.set(xlabel="training positives", title="Rare, middling and frequent labels")
    left.legend(fontsize=9, loc="lower right")
    return figure


def draw_label_frequency(counts: pd.DataFrame) -> Figure:
    """In how many training lesions each label is positive (after LesaNet's fig. 8).

    Args:
        counts: One row for each label, named by it, with `class` and `training_positives`. Labels
            that never occur are counted in the title.
    """
    seen = counts[counts["training_positives"] > 0]
    seen = seen.sort_values("training_positives", ascending=False, kind="stable")
    rows = max(math.ceil(len(seen) / _COLUMNS), 1)
    figure = new_figure(1250, 120 + 17 * rows)
    panels = figure.subplots(1, _COLUMNS, sharex=True)
    for column, axes in enumerate(panels):
        part = seen.iloc[column * rows : (column + 1) * rows]
        for place, (_, row) in enumerate(part.iterrows()):
            look = CLASSES.get(row["class"], Look(row["class"], GREY, "", "", ""))
            count = row["training_positives"]
            axes.barh(place, count, color=look.colour, hatch=look.hatch, edgecolor="white")
            axes.text(count * 1.06, place, f"{count:,}", va="center", fontsize=7)
        axes.set_yticks(
            range(len(part)), labels=[str(n) for n in part.index], fontsize=8, parse_math=False
        )
        axes.set(xscale="log", ylim=(rows - 0.4, -0.6))
        axes.set_xlabel("positive lesions in training", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        _plain_numbers(axes)
    panels[0].set_xlim(0.8, max(2.0, 2.2 * seen["training_positives"].max()) if len(seen) else 2)
    _legend_of_classes(figure)
    never = len(counts) - len(seen)
    rest = f"; {_labels(never)} never occur{'s' if never == 1 else ''}" if never else ""
    figure.suptitle(f"{_labels(len(seen))} in training{rest}", fontsize=11)
    return figure


def new_figure(width_px: int, height_px: int) -> Figure:
    """An empty figure of this size, which arranges its panels itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_px / _DPI, height_px / _DPI), dpi=_DPI, layout="constrained")


def _labels(count: int) -> str:
    return f"{count} label" if count == 1 else f"{count} labels"


def _plain_numbers(axes: Axes) -> None:
    """Write 100 at a logarithmic axis, not a power of ten."""
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _legend_of_classes(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=look.colour, hatch=look.hatch, edgecolor="white", label=look.shown)
        for look in CLASSES.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
