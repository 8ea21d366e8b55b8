"""Pictures: a lesion's patch with what the network says of it, and the curves of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from torch import Tensor

from vision.images import WINDOW_HU, Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Window = tuple[float, float]

SOFT_TISSUE_HU: Final = (-160.0, 240.0)
LUNG_HU: Final = (-1350.0, 150.0)
LUNG_BELOW_HU: Final = -150.0  # fat, the lightest tissue, has about -100 HU
MOST_LABELS: Final = 16
BOX_COLOUR: Final = "#ffb000"

_DPI: Final = 100
_SIZE_PX: Final = (960, 540)
_PATCH_PX: Final = (30, 30, 480, 480)  # left, bottom, width, height in the picture
_BARS_PX: Final = (765, 50, 180, 440)
_POSITIVE_COLOUR: Final = "#1f77b4"
_NEGATIVE_COLOUR: Final = "#bbbbbb"
_TERM_LENGTH: Final = 33
_NO_LOSS: Final = {"epoch", "steps", "learning_rate", "seconds"}


def draw_patch(
    pixels: Tensor,
    box_px: Sequence[float],
    labels: Sequence[tuple[str, float, bool]],
    path: Path,
    *,
    window_hu: Window | None = None,
    pixels_hu: Window = WINDOW_HU,
) -> Path:
    """Draw the key slice of a patch, the lesion's box in it, and the labels beside it.

    R and L beside it are the patient's right and left. The picture is a PNG of 960 x 540 pixels;
    a square patch fills 480 x 480 of them, 30 pixels from the left and from the top.

    Args:
        pixels: The patch; its middle slice is drawn. Shape: (3, H, W), in [0, 255].
        box_px: The lesion (x0, y0, x1, y1): the first and the last pixel that it takes. What
            lies past the patch is cut off.
        labels: Term, probability, and whether it is predicted. The first 16 are drawn.
        path: The file to write.
        window_hu: HU values drawn black and white. By default, by the mean HU in the box: a lung
            window where it is below -150 HU, else one for soft tissue. The title says which.
        pixels_hu: The HU values that 0 and 255 of `pixels` stand for.

    Returns:
        `path`.

    Raises:
        ValueError: If `pixels` is no patch, or the box lies outside it.
    """
    from matplotlib.figure import Figure

    image_hu = key_slice_hu(pixels, pixels_hu)
    x0, y0, x1, y1 = clamp_box(box_px, image_hu.shape[1], image_hu.shape[0])
    name = ""
    if window_hu is None:
        name, window_hu = pick_window(mean_hu(image_hu, (x0, y0, x1, y1)))

    figure = Figure(figsize=_inches(*_SIZE_PX), dpi=_DPI)
    picture = figure.add_axes(_fractions(_PATCH_PX))
    picture.imshow(
        image_hu.numpy(), cmap="gray", vmin=window_hu[0], vmax=window_hu[1], interpolation="nearest"
    )
    _outline(picture, (x0, y0, x1, y1))
    picture.set_title(f"{name}{window_hu[0]:,.0f} to {window_hu[1]:,.0f} HU", fontsize=10)
    picture.set_axis_off()
    for place, side in ((-0.03, "R"), (1.03, "L")):  # the patient's, in radiological view
        picture.text(place, 0.5, side, transform=picture.transAxes, ha="center")
    if labels:
        _draw_labels(figure.add_axes(_fractions(_BARS_PX)), labels)
    figure.savefig(path, dpi=_DPI, format="png")
    return path


def pick_window(mean_hu: float) -> tuple[str, Window]:
    """The name and the window for a lesion of this mean density.

    Example:
        >>> pick_window(-480.0)
        ('lung window, ', (-1350.0, 150.0))
    """
    if mean_hu < LUNG_BELOW_HU:
        return "lung window, ", LUNG_HU
    return "soft-tissue window, ", SOFT_TISSUE_HU


def draw_curves(history: Sequence[Mapping[str, float]], path: Path) -> Path:
    """Draw the loss terms of each epoch, and F1 and AUC on the validation part.

    Args:
        history: One row for each epoch: `epoch`; the loss terms by name; figures whose names
            begin with `validation_`. `steps`, `seconds` and `learning_rate` are not drawn.
        path: The PNG to write, 800 x 360 pixels.

    Returns:
        `path`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=_inches(800, 360), dpi=_DPI, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    names = list(dict.fromkeys(name for row in history for name in row))
    validation = [name for name in names if name.startswith("validation_")]
    _draw_lines(losses, history, [n for n in names if n not in {*_NO_LOSS, *validation}])
    _draw_lines(scores, history, validation)
    losses.set(xlabel="epoch", ylabel="loss, training")
    scores.set(xlabel="epoch", ylabel="mean over labels, validation", ylim=(0, 1))
    figure.savefig(path, dpi=_DPI, format="png")
    return path


def _draw_lines(axes: Axes, history: Sequence[Mapping[str, float]], names: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    for name in names:
        values = [row.get(name, math.nan) for row in history]
        label = name.removeprefix("validation_").replace("_", " ")
        axes.plot(epochs, values, marker=".", label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if names:
        axes.legend(fontsize=8)


def _draw_labels(axes: Axes, labels: Sequence[tuple[str, float, bool]]) -> None:
    shown = labels[:MOST_LABELS]
    scores = [score for _, score, _ in shown]
    colours = [_POSITIVE_COLOUR if positive else _NEGATIVE_COLOUR for *_, positive in shown]
    bars = axes.barh(range(len(shown)), scores, color=colours)
    axes.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=8)
    terms = [_shorten(term) for term, *_ in shown]
    axes.set_yticks(range(len(shown)), labels=terms, fontsize=9, parse_math=False)
    axes.set(xlim=(0, 1.2), xticks=(0, 0.5, 1), ylim=(MOST_LABELS - 0.5, -0.5))
    axes.set_xlabel("probability; blue: predicted", fontsize=8)
    if len(labels) > len(shown):
        axes.set_title(f"{len(shown)} of {len(labels)} labels", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _outline(axes: Axes, box: Box) -> None:
    """Draw around the box's pixels; a side on the patch's border is drawn whole."""
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box
    corner, width, height = (x0 - 0.5, y0 - 0.5), x1 - x0 + 1, y1 - y0 + 1
    axes.add_patch(
        Rectangle(
            corner, width, height, fill=False, edgecolor=BOX_COLOUR, linewidth=1.5, clip_on=False
        )
    )


def key_slice_hu(pixels: Tensor, pixels_hu: tuple[float, float]) -> Tensor:
    """The key slice of a patch in HU; shape: (3, H, W) -> (H, W).

    Raises:
        ValueError: If `pixels` is no patch.
    """
    if pixels.ndim != 3 or len(pixels) != 3:
        raise ValueError(f"Expected a patch of shape (3, H, W), got {tuple(pixels.shape)}.")
    key = pixels[1].detach().cpu().float()
    low, high = pixels_hu
    return low + key * ((high - low) / 255)


def clamp_box(box_px: Sequence[float], width: int, height: int) -> Box:
    """The part of a box that lies in a patch of this size.

    Raises:
        ValueError: If none does.
    """
    x0, y0, x1, y1 = box_px
    if not (x0 <= x1 and y0 <= y1 and x0 < width and y0 < height and x1 >= 0 and y1 >= 0):
        raise ValueError(f"The box {tuple(box_px)} has no pixel in a patch of {width} x {height}.")
    return max(x0, 0.0), max(y0, 0.0), min(x1, width - 1.0), min(y1, height - 1.0)


def mean_hu(image_hu: Tensor, box: Box) -> float:
    """The mean density of a box in a slice, whose pixels it takes whole. Shape: (H, W)."""
    x0, y0 = (math.floor(c) for c in box[:2])
    x1, y1 = (math.ceil(c) + 1 for c in box[2:])
    return float(image_hu[y0:y1, x0:x1].mean())


def _shorten(term: str) -> str:
    return term if len(term) <= _TERM_LENGTH else f"{term[: _TERM_LENGTH - 3]}..."


def _inches(width_px: int, height_px: int) -> tuple[float, float]:
    return width_px / _DPI, height_px / _DPI


def _fractions(area_px: tuple[int, int, int, int]) -> Box:
    left, bottom, width, height = area_px
    wide, high = _SIZE_PX
    return left / wide, bottom / high, width / wide, height / high
