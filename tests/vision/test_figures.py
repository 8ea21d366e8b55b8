"""What the figures show, read from their axes."""

import io
import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from vision.curve_figures import draw_calibration, draw_precision_recalls, draw_rocs
from vision.curves import calibration, label_curves
from vision.figures import (
    CLASSES,
    SCORES,
    draw_auc,
    draw_frequency_subsets,
    draw_label_frequency,
)


def table(rows):
    """Of (name, class, training_positives, auc); the other scores are half the AUC."""
    made = pd.DataFrame(rows, columns=["label", "class", "training_positives", "auc"])
    for key in SCORES.keys() - {"auc"}:
        made[key] = made["auc"] / 2
    return made.set_index("label")


LABELS = table(
    [
        ("lung", "bodypart", 200, 0.9),
        ("liver", "bodypart", 40, 0.8),
        ("$cyst_$", "type", 5, 0.7),
        ("round", "attribute", 0, math.nan),
    ]
)


def saved(figure):
    """Render, as warnings are errors here."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def test_looks_differ_without_colour():
    for looks in (CLASSES, SCORES):
        for part in ("colour", "marker", "hatch", "line"):
            assert len({getattr(look, part) for look in looks.values()}) == len(looks)


def test_auc_is_drawn_by_class_and_by_frequency():
    by_class, by_frequency = draw_auc(LABELS).axes
    assert [t.get_text() for t in by_class.get_xticklabels()] == [
        "body part\n(2 labels)", "type\n(1 label)",
    ]  # fmt: skip
    drawn = {tuple(line.get_ydata()): line for line in by_class.lines}
    assert drawn[0.8, 0.9].get_marker() == "o"
    assert drawn[(0.7,)].get_marker() == "s"
    counts = [line.get_xdata().tolist() for line in by_frequency.lines if line.get_marker() == "o"]
    assert counts == [[200, 40]]
    assert [t.get_text() for t in by_frequency.texts] == [
        "0.900, 1 label", "0.800, 1 label", "0.700, 1 label",
    ]  # fmt: skip


def test_without_training_lesions_there_is_no_frequency():
    assert len(draw_auc(LABELS.drop(columns="training_positives")).axes) == 1


def test_subsets_hold_the_labels_that_are_frequent_enough():
    left, right = draw_frequency_subsets(LABELS).axes
    assert [t.get_text() for t in left.get_xticklabels()] == [
        "1\n(3 labels)", "3\n(3 labels)", "10\n(2 labels)", "30\n(2 labels)", "100\n(1 label)",
    ]  # fmt: skip
    lines = {line.get_label(): line.get_ydata() for line in left.lines}
    assert lines["AUC"] == pytest.approx([0.8, 0.8, 0.85, 0.85, 0.9])
    assert lines["F1"] == pytest.approx([0.4, 0.4, 0.425, 0.425, 0.45])
    assert [t.get_text() for t in right.get_xticklabels()] == [
        "<= 10\n(1 label)", "11-100\n(1 label)", "> 100\n(1 label)",
    ]  # fmt: skip
    heights = {c.get_label(): [bar.get_height() for bar in c] for c in right.containers}
    assert heights["AUC"] == pytest.approx([0.7, 0.8, 0.9])


def test_frequencies_are_drawn_most_frequent_first():
    figure = draw_label_frequency(LABELS)
    names = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert names == ["lung", "liver", "$cyst_$"]  # not read as a formula
    bars = [bar for axes in figure.axes for bar in axes.patches]
    assert [bar.get_width() for bar in bars] == [200, 40, 5]
    assert [to_hex(bar.get_facecolor(), False).upper() for bar in bars] == [
        CLASSES[k].colour for k in ("bodypart", "bodypart", "type")
    ]
    assert figure.get_suptitle() == "3 labels in training; 1 label never occurs"


def test_curves_are_drawn_with_the_point_of_the_threshold():
    scores = torch.tensor([0.1, 0.4, 0.35, 0.8])
    positive = torch.tensor([False, False, True, True])
    known = torch.ones(4, dtype=torch.bool)
    parts = ({"cyst": label_curves(scores, positive, known)}, {"cyst": "type"}, {"cyst": 0.4})
    axes = draw_rocs(*parts).axes[0]
    assert axes.get_title() == "cyst"
    chance, curve, star = axes.lines
    assert curve.get_xydata().tolist() == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert curve.get_linestyle() == CLASSES["type"].line
    assert star.get_xydata().tolist() == [[0.5, 0.5]]
    assert axes.texts[0].get_text() == "AUC 0.750"
    axes = draw_precision_recalls(*parts).axes[0]
    chance, curve, star = axes.lines
    assert set(chance.get_ydata()) == {0.5}
    assert star.get_xydata().tolist() == [[0.5, 0.5]]
    assert axes.texts[0].get_text() == "average precision 0.833"


def test_calibration_shows_bins_that_hold_something():
    scores = torch.tensor([[0.05], [0.95], [0.95], [0.95], [0.95]])
    positive = torch.tensor([[False], [True], [True], [True], [False]])
    bins = calibration(scores, positive, torch.ones_like(positive), bins=10)
    upper, lower = draw_calibration({"all": bins, "type": bins}).axes
    curve = upper.lines[1]
    assert curve.get_xydata() == pytest.approx(np.array([[0.05, 0], [0.95, 0.75]]))
    assert curve.get_label() == "all labels, ECE 0.170"
    assert upper.lines[2].get_marker() == CLASSES["type"].marker
    assert [bar.get_height() for bar in lower.patches] == [1, *[0] * 8, 4]


@pytest.mark.parametrize("labels", [LABELS, LABELS.iloc[3:], LABELS.iloc[:0]])
def test_every_figure_can_be_rendered(labels):
    none = calibration(torch.empty(0), torch.empty(0, dtype=bool), torch.empty(0, dtype=bool))
    for figure in (
        draw_auc(labels),
        draw_frequency_subsets(labels),
        draw_label_frequency(labels),
        draw_rocs({}, {}, {}),
        draw_precision_recalls({}, {}, {}),
        draw_calibration({"all": none}),
    ):
        assert saved(figure).startswith(b"\x89PNG")
