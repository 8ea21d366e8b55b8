"""Figures on a scored network: by label, by class, by frequency, by threshold.

Each function returns a matplotlib `Figure`. Colours are Okabe and Ito's, which colour-blind readers
tell apart; classes and scores also differ by marker, hatch or line style.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from vision.curves import Calibration, Curves
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


def draw_auc(table: pd.DataFrame) -> Figure:
    """AUC of each scored label: by class, and against its positives in training.

    Args:
        table: That of `vision.scores.LabelScores`. Without `training_positives` the second panel
            stays away.
    """
    scored = table[table["auc"].notna()]
    with_training = "training_positives" in table
    figure = _figure(1000 if with_training else 500, 420)
    panels = figure.subplots(1, 1 + with_training, squeeze=False, sharey=True)[0]
    kinds = [kind for kind in CLASSES if (scored["class"] == kind).any()]
    for place, kind in enumerate(kinds):
        values = np.sort(scored.loc[scored["class"] == kind, "auc"].to_numpy(float))
        look = CLASSES[kind]
        spread = place + 0.3 * (((np.arange(len(values)) * 0.618) % 1) - 0.5)
        panels[0].plot(spread, values, look.marker, color=look.colour, alpha=0.75)
        panels[0].hlines(np.median(values), place - 0.3, place + 0.3, "black", linewidth=2)
        if with_training:
            rows = scored[scored["class"] == kind]
            counts = rows["training_positives"].clip(lower=0.7)
            panels[1].plot(
                counts, rows["auc"], look.marker, color=look.colour, alpha=0.75, label=look.shown
            )
    names = [f"{CLASSES[k].shown}\n({(scored['class'] == k).sum()} labels)" for k in kinds]
    panels[0].set_xticks(range(len(kinds)), labels=names)
    panels[0].set(ylabel="AUC", title="By class; bars are medians", xlim=(-0.6, len(kinds) - 0.4))
    panels[0].axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    if with_training:
        _draw_means(panels[1], scored)
        panels[1].set(xscale="log", xlabel="positive lesions in training", title="By frequency")
        panels[1].axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        panels[1].legend(fontsize=9, loc="lower right")
    return figure


def _draw_means(axes: Axes, scored: pd.DataFrame) -> None:
    """A bar for the mean AUC of each of the three bins of frequency."""
    counts = scored["training_positives"]
    most = int(counts.max()) if len(scored) else 0
    for name, low, high in frequency_bins(most):
        rows = scored[(counts >= low) & (counts <= high)]
        if len(rows):
            ends = (max(low, 0.7), min(high, most))
            axes.hlines(
                rows["auc"].mean(), *ends, color="black", linewidth=2,
                label=f"mean, {name} ({len(rows)} labels)",
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
    figure = _figure(1000, 420)
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
        bars = right.bar(
            np.arange(len(bins)) + 0.2 * (place - 1.5), [rows[key].mean() for rows in bins.values()],
            0.2, color=look.colour, hatch=look.hatch, edgecolor="white", label=look.shown,
        )  # fmt: skip
        right.bar_label(bars, fmt="{:.2f}", fontsize=7, padding=1)
    for axes, parts in ((left, subsets), (right, bins)):
        names = [f"{name}\n({len(rows)} labels)" for name, rows in parts.items()]
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
    figure = _figure(1250, 120 + 17 * rows)
    panels = figure.subplots(1, _COLUMNS, sharex=True)
    for column, axes in enumerate(panels):
        part = seen.iloc[column * rows : (column + 1) * rows]
        for place, (name, row) in enumerate(part.iterrows()):
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
    panels[0].set_xlim(0.8, max(2.0, 2.2 * seen["training_positives"].max()) if len(seen) else 2)
    _legend_of_classes(figure)
    never = len(counts) - len(seen)
    figure.suptitle(
        f"{len(seen)} labels in training" + (f"; {never} never occur" if never else ""), fontsize=11
    )
    return figure


def draw_rocs(
    curves: Mapping[str, Curves], classes: Mapping[str, str], thresholds: Mapping[str, float]
) -> Figure:
    """The ROC curve of each label in a panel of its own, a star at the calibrated threshold."""
    figure, panels = _small_multiples(len(curves))
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        look = CLASSES.get(classes[name], CLASSES["bodypart"])
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        axes.plot(curve.fall_out, curve.recall, color=look.colour, linestyle=look.line)
        recall, fall_out, _ = curve.at(thresholds[name])
        axes.plot(fall_out, recall, "*", color="black", markersize=9)
        axes.text(0.97, 0.06, f"AUC {curve.auc:.3f}", ha="right", fontsize=8)
        _name_panel(axes, name)
    _finish_multiples(figure, "false positive rate", "true positive rate")
    return figure


def draw_precision_recalls(
    curves: Mapping[str, Curves], classes: Mapping[str, str], thresholds: Mapping[str, float]
) -> Figure:
    """The precision at each recall, one panel a label, a star at the calibrated threshold.

    The dotted line is the precision of chance: the share of lesions that have the label.
    """
    figure, panels = _small_multiples(len(curves))
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        look = CLASSES.get(classes[name], CLASSES["bodypart"])
        axes.axhline(curve.precision[-1], color=GREY, linewidth=0.8, linestyle=":")
        axes.step(
            curve.recall, curve.precision, where="pre", color=look.colour, linestyle=look.line
        )
        recall, _, precision = curve.at(thresholds[name])
        axes.plot(recall, precision, "*", color="black", markersize=9)
        axes.text(
            0.03, 0.06, f"average precision {curve.average_precision:.3f}", ha="left", fontsize=8
        )
        _name_panel(axes, name)
    _finish_multiples(figure, "recall", "precision")
    return figure


def draw_calibration(found: Mapping[str, Calibration]) -> Figure:
    """The share of pairs that hold against their score, and how many pairs each bin has.

    Args:
        found: By class, and `all`.
    """
    figure = _figure(560, 620)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    every = Look("all labels", "black", "D", "", "-")
    for name, bins in found.items():
        look = CLASSES.get(name, every)
        there = bins.count > 0
        upper.plot(
            bins.score[there], bins.share[there], color=look.colour, marker=look.marker,
            linestyle=look.line, markersize=5, label=f"{look.shown}, ECE {bins.error:.3f}",
        )  # fmt: skip
    count = next(iter(found.values())).count if "all" not in found else found["all"].count
    width = 1 / len(count)
    lower.bar((np.arange(len(count)) + 0.5) * width, count, width * 0.9, color=GREY)
    upper.set(ylabel="share that holds", xlim=(0, 1), ylim=(0, 1), title="Calibration")
    lower.set(xlabel="score", ylabel="pairs", yscale="log")
    upper.legend(fontsize=9, loc="upper left")
    return figure


def _figure(width_px: int, height_px: int) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_px / _DPI, height_px / _DPI), dpi=_DPI, layout="constrained")


def _small_multiples(count: int, *, columns: int = 4) -> tuple[Figure, Sequence[Axes]]:
    rows = max(math.ceil(count / columns), 1)
    figure = _figure(1100, 60 + 250 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for unused in panels[count:]:
        unused.set_visible(False)
    for axes in panels[:count]:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return figure, list(panels[:count])


def _name_panel(axes: Axes, name: str) -> None:
    axes.set_title(name, fontsize=10, parse_math=False)


def _finish_multiples(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(f"{x}    (star: the calibrated threshold)", fontsize=9)
    figure.supylabel(y, fontsize=9)


def _legend_of_classes(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=look.colour, hatch=look.hatch, edgecolor="white", label=look.shown)
        for look in CLASSES.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
