"""Pictures: read back, and looked at pixel by pixel."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from vision.drawing import draw_curves, draw_patch, pick_window

LEFT, TOP, SCALE = 30, 30, 4  # where the patch lies in the picture, and its pixels' size


def patch_of(hu, size=120):
    """A patch of one density. Shape: (3, size, size)."""
    return torch.full((3, size, size), (hu + 1024) * 255 / 4095)


def read(path):
    """A picture's colours. Shape: (H, W, 3)."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def is_yellow(colours):
    """Whether a colour is the box's: much red and some green, little blue."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    return (red - blue > 80) & (green - blue > 30)


def is_blue(colours):
    red, _, blue = np.moveaxis(colours, -1, 0)
    return blue - red > 100


def box_in(picture):
    """First and last column and row with the box's colour, in pixels of the patch."""
    rows, columns = np.nonzero(is_yellow(picture))
    ends = (columns.min() - LEFT, rows.min() - TOP, columns.max() - LEFT, rows.max() - TOP)
    return tuple(end / SCALE for end in ends)


@pytest.fixture
def titles(monkeypatch):
    """The titles that were set, since pixels are hard to read."""
    found = []
    original = Figure.savefig

    def savefig(figure, *args, **kwargs):
        found.extend(axes.get_title() for axes in figure.axes)
        return original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return found


def test_the_picture_has_its_size_and_the_patch_its_place(tmp_path):
    patch = patch_of(-160)
    patch[1, 10, 20] = patch_of(240)[0, 0, 0]

    path = draw_patch(patch, (50, 50, 60, 60), [], tmp_path / "p.png", window_hu=(-160, 240))

    picture = read(path)
    assert path == tmp_path / "p.png"
    assert picture.shape == (540, 960, 3)
    square = picture[TOP : TOP + 480, LEFT : LEFT + 480]
    row, column = TOP + 10 * SCALE, LEFT + 20 * SCALE
    assert (picture[row : row + SCALE, column : column + SCALE] == 255).all()
    assert (square == 255).all(-1).sum() == SCALE**2
    assert (square[:160] == 0).all(-1).sum() == 160 * 480 - SCALE**2
    assert (picture[TOP - 4, LEFT : LEFT + 480] == 255).all()


@settings(max_examples=12)
@given(st.integers(0, 100), st.integers(0, 100), st.integers(4, 19), st.integers(4, 19))
def test_the_box_runs_around_its_pixels(tmp_path_factory, x0, y0, width, height):
    path = tmp_path_factory.mktemp("box") / "p.png"
    box = (x0, y0, x0 + width, y0 + height)

    picture = read(draw_patch(patch_of(40), box, [], path))

    around = (x0, y0, x0 + width + 1, y0 + height + 1)
    assert box_in(picture) == pytest.approx(around, abs=0.6)
    inside = picture[
        TOP + SCALE * (y0 + 1) : TOP + SCALE * (y0 + height),
        LEFT + SCALE * (x0 + 1) : LEFT + SCALE * (x0 + width),
    ]
    assert len(np.unique(inside.reshape(-1, 3), axis=0)) == 1


def test_a_side_on_the_patchs_border_is_drawn_whole(tmp_path):
    picture = read(draw_patch(patch_of(40), (0, 40, 30, 80), [], tmp_path / "p.png"))

    left = is_yellow(picture[TOP + 41 * SCALE : TOP + 80 * SCALE, LEFT - 2 : LEFT + 2])
    right = is_yellow(picture[TOP + 41 * SCALE : TOP + 80 * SCALE, LEFT + 122 : LEFT + 126])
    assert left.any(1).all()
    assert left.sum() == right.sum()


def test_a_box_larger_than_the_patch_is_cut_at_its_border(tmp_path):
    picture = read(draw_patch(patch_of(40), (-20, -5, 140, 200), [], tmp_path / "p.png"))

    assert box_in(picture) == pytest.approx((0, 0, 120, 120), abs=0.6)


def test_a_patch_of_another_size_fills_the_same_place(tmp_path):
    patch = patch_of(40, size=60)

    picture = read(draw_patch(patch, (0, 0, 59, 59), [], tmp_path / "p.png"))

    assert box_in(picture) == pytest.approx((0, 0, 120, 120), abs=0.6)


@pytest.mark.parametrize(
    ("hu", "title", "grey"),
    [
        (-100, "soft-tissue window, -160 to 240 HU", 255 * 60 / 400),
        (40, "soft-tissue window, -160 to 240 HU", 255 * 200 / 400),
        (-800, "lung window, -1,350 to 150 HU", 255 * 550 / 1500),
    ],
)
def test_the_window_suits_the_lesion_and_is_named(tmp_path, titles, hu, title, grey):
    patch = patch_of(-1000 if hu > -150 else 40)
    patch[:, 30:61, 30:61] = patch_of(hu)[0, 0, 0]

    picture = read(draw_patch(patch, (30, 30, 60, 60), [], tmp_path / "p.png"))

    assert titles == [title]
    assert picture[TOP + 45 * SCALE, LEFT + 45 * SCALE] == pytest.approx([grey] * 3, abs=1.5)


def test_a_given_window_is_used(tmp_path, titles):
    picture = read(
        draw_patch(patch_of(0), (5, 5, 9, 9), [], tmp_path / "p.png", window_hu=(-1024, 3071))
    )

    assert titles == ["-1,024 to 3,071 HU"]
    assert picture[300, 300] == pytest.approx([1024 / 4095 * 255] * 3, abs=1.5)


def test_the_lung_window_begins_below_fat():
    assert pick_window(-149.9)[0] == "soft-tissue window, "
    assert pick_window(-150.1)[0] == "lung window, "


def test_bars_are_as_long_as_the_scores_and_blue_where_predicted(tmp_path):
    labels = [("lung", 1.0, True), ("nodule", 0.5, True), ("large", 0.9, False)]

    picture = read(draw_patch(patch_of(40), (5, 5, 9, 9), labels, tmp_path / "p.png"))

    lengths = is_blue(picture[:, 520:]).sum(1)
    runs = sorted({int(n) for n in np.unique(lengths) if n > 20})
    assert runs[-1] == pytest.approx(2 * runs[0], abs=4)
    assert is_blue(picture).any(1).sum() == pytest.approx(2 * 0.8 * 440 / 16, abs=4)


def test_many_labels_and_odd_names_are_drawn(tmp_path, titles):
    labels = [(f"$x_{i} {'long ' * 20}", i / 171, i % 2 == 0) for i in range(171)]

    path = draw_patch(patch_of(40), (5, 5, 9, 9), labels, tmp_path / "p.png")

    assert read(path).shape == (540, 960, 3)
    assert "16 of 171 labels" in titles


@pytest.mark.parametrize("box", [(120, 0, 130, 10), (0, -9, 10, -1), (9, 9, 5, 5)])
def test_a_box_outside_the_patch_is_refused(tmp_path, box):
    with pytest.raises(ValueError, match="no pixel in a patch of 120 x 120"):
        draw_patch(patch_of(40), box, [], tmp_path / "p.png")

    assert not list(tmp_path.iterdir())


def test_what_is_no_patch_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\(3, H, W\)"):
        draw_patch(torch.zeros(1, 8, 8), (0, 0, 4, 4), [], tmp_path / "p.png")


@pytest.fixture
def lines(monkeypatch):
    """What each pair of axes was asked to draw: label -> values."""
    found = []
    original = Figure.savefig

    def savefig(figure, *args, **kwargs):
        for axes in figure.axes:
            found.append({line.get_label(): list(line.get_ydata()) for line in axes.lines})
        return original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return found


def test_curves_show_losses_on_one_side_and_validation_on_the_other(tmp_path, lines):
    history = [
        {
            "epoch": epoch,
            "steps": 7,
            "learning_rate": 0.01,
            "total": 3 / epoch,
            "weighted_bce": 1 / epoch,
            "validation_f1": 0.1 * epoch,
            "validation_auc": 0.9,
            "seconds": 2.0,
        }
        for epoch in (1, 2)
    ]

    picture = read(draw_curves(history, tmp_path / "curves.png"))

    assert picture.shape == (360, 800, 3)
    assert lines == [
        {"total": [3, 1.5], "weighted bce": [1, 0.5]},
        {"f1": [0.1, 0.2], "auc": [0.9, 0.9]},
    ]


def test_curves_of_an_epoch_that_could_not_be_scored_are_drawn(tmp_path, lines):
    history = [
        {"epoch": 1, "total": 1.0, "validation_f1": float("nan")},
        {"epoch": 2, "total": 0.5},
    ]

    draw_curves(history, tmp_path / "curves.png")

    assert lines[0] == {"total": [1.0, 0.5]}
    assert np.isnan(lines[1]["f1"]).all()


def test_curves_of_no_epoch_are_empty(tmp_path, lines):
    draw_curves([], tmp_path / "curves.png")

    assert lines == [{}, {}]


def test_no_figure_is_left_open(tmp_path):
    draw_patch(patch_of(40), (5, 5, 9, 9), [("lung", 0.5, True)], tmp_path / "p.png")

    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
