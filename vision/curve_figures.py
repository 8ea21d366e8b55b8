"""Figures on thresholds: ROC and precision-recall curves, and the calibration of the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vision.curves import Calibration, Curves
from vision.figures import CLASSES, GREY, Look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
        found = np.append(curve.precision[1], curve.precision[1:])  # nothing to see at recall 0
        axes.step(curve.recall, found, where="pre", color=look.colour, linestyle=look.line)
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
    figure = new_figure(560, 620)
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
    count = found["all"].count
    width = 1 / len(count)
    lower.bar((np.arange(len(count)) + 0.5) * width, count, width * 0.9, color=GREY)
    upper.set(ylabel="share that holds", xlim=(0, 1), ylim=(0, 1), title="Calibration")
    lower.set(xlabel="score", ylabel="pairs", yscale="log" if count.any() else "linear")
    upper.legend(fontsize=9, loc="upper left")
    return figure


def _small_multiples(count: int, *, columns: int = 4) -> tuple[Figure, Sequence[Axes]]:
    rows = max(math.ceil(count / columns), 1)
    figure = new_figure(1100, 60 + 250 * rows)
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
