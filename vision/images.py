"""From a CT image to the network's input: window, three slices, patch. Pure functions.

The rules are those of the published code of Yan et al. (2019), arXiv:1904.04661, with one
departure, which `lesion_patch` names. A patch is cut before it is
resized: only the pixels that it needs are windowed and interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from vision.errors import InputError

Box = tuple[float, float, float, float]
Spacing = tuple[float, float, float]

WINDOW_HU: Final = (-1024.0, 3071.0)
# DeepLesion's boxes are the lesion's measured extent plus 5 pixels on each side.
BOX_MARGIN_PX: Final = 5.0
_PIXEL_MM: Final = (0.05, 5.0)  # no CT picture has pixels outside this range


class CtImage(Protocol):
    """Axial CT slices in radiological view: row 0 is anterior, column 0 the patient's right.

    Attributes:
        spacing_mm: (x, y, slice interval): the size of a pixel, and the distance between the
            positions of slices whose indices differ by one. An interval of 0, NaN or below
            means that it is not known.
        slice_indices: Those that exist, from head to feet. They count up or down.
    """

    @property
    def spacing_mm(self) -> Spacing: ...
    @property
    def slice_indices(self) -> Sequence[int]: ...
    def slice_hu(self, index: int) -> Tensor:
        """One slice in Hounsfield units. Shape: (H, W), float32."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """The network's view of a lesion, before `normalise`.

    Attributes:
        pixels: 2 mm towards the head, key slice, 2 mm towards the feet; windowed to [0, 255],
            1 mm per pixel. Shape: (3, 120, 120), float32.
        box_px: The lesion in the patch (x0, y0, x1, y1); not below 0, but past the patch for a
            lesion larger than it.
    """

    pixels: Tensor
    box_px: Box


def window_hu(image: Tensor, *, low: float = WINDOW_HU[0], high: float = WINDOW_HU[1]) -> Tensor:
    """Map a window of Hounsfield units linearly onto [0, 255].

        y = 255 (clip(x, low, high) - low) / (high - low)

    The default window is LesaNet's (`WINDOWING` in the authors' `config.py`).

    Args:
        image: CT intensities in HU, any float dtype. Shape: (..., H, W).
        low: The HU value mapped to 0.
        high: The HU value mapped to 255.

    Returns:
        Unitless, in [0, 255]; shape, dtype and device of `image`.

    Raises:
        ValueError: If `low >= high`, or if `image` holds integers: those of a DeepLesion PNG
            are HU + 32768, and its reader has them subtracted.

    Example:
        >>> window_hu(torch.tensor([[-2000.0, 1023.5, 4000.0]]))
        tensor([[  0.0000, 127.5000, 255.0000]])
    """
    if low >= high:
        raise ValueError(f"The window is empty: {low} HU is not below {high} HU.")
    if not image.is_floating_point():
        raise ValueError(f"Expected HU as floats, got {image.dtype}.")
    return (image.clamp(low, high) - low) * (255 / (high - low))


def normalise(pixels: Tensor, *, mean: float = 50.0) -> Tensor:
    """The network's input: (pixels - mean) / 255, the mean being the authors'.

    Example:
        >>> normalise(torch.tensor([0.0, 50.0, 255.0]))
        tensor([-0.1961,  0.0000,  0.8039])
    """
    return (pixels - mean) / 255


def three_slices(image: CtImage, slice_index: int, *, step_mm: float = 2.0) -> Tensor:
    """The key slice between what lies `step_mm` towards the head and towards the feet.

    With r = step / interval, a neighbour is the slice r away where r is whole. Elsewhere it
    mixes the two slices around it, linearly in HU. Where a slice is missing, the next one on
    the way back to the key slice stands in. With no known interval, the key slice stands in.

    Returns:
        HU. Shape: (3, H, W), float32.

    Raises:
        InputError: If the key slice is missing, or the slices differ in size.
    """
    mixes, slices = _read_slices(image, slice_index, step_mm)
    return _mix(mixes, slices)


def lesion_patch(
    image: CtImage,
    slice_index: int,
    box_px: Sequence[float],
    *,
    size_px: int = 120,
    mm_per_px: float = 1.0,
    slice_step_mm: float = 2.0,
    max_side_px: int = 800,
    window: tuple[float, float] = WINDOW_HU,
) -> Patch:
    """Cut the patch around a lesion, as a picture of `mm_per_px` with three slices.

    The picture is resized by scale = spacing / mm_per_px, bilinearly with half-pixel centres,
    and by less where its longer side would exceed `max_side_px`. The patch starts half a patch
    left of and above the box's centre, rounded half to even. Past the picture's border, its edge
    pixels are repeated.

    One departure: the authors pad a picture that is smaller than the patch on one side only,
    which shifts the lesion against its box. Here it is padded wherever it ends, so that patches
    of such pictures differ from theirs.

    Args:
        image: The CT image.
        slice_index: The key slice, one of `image.slice_indices`.
        box_px: The lesion in the key slice: (x0, y0, x1, y1) in pixels that count from 0.
        size_px: Side of the patch.
        mm_per_px: Size of the patch's pixels.
        slice_step_mm: Distance of the outer slices from the key slice.
        max_side_px: Longest side of the resized picture.
        window: HU values mapped to 0 and to 255.

    Raises:
        InputError: If the box, the slice or the pixel spacing can't be right.
    """
    spacing = _pixel_spacing(image.spacing_mm)
    mixes, slices = _read_slices(image, slice_index, slice_step_mm)
    height, width = slices[slice_index].shape
    box = _checked_box(box_px, width, height)
    scales = _scales(spacing, (width, height), mm_per_px, max_side_px)
    start = [round((box[a] + box[a + 2]) * scales[a] / 2) - size_px // 2 for a in (0, 1)]
    columns = _Samples.along(width, scales[0], start[0], size_px)
    rows = _Samples.along(height, scales[1], start[1], size_px)

    needed = {i: hu[rows.span, columns.span] for i, hu in slices.items()}
    pixels = window_hu(_mix(mixes, needed), low=window[0], high=window[1])
    x0, y0, x1, y1 = (max(0.0, box[i] * scales[i % 2] - start[i % 2]) for i in range(4))
    return Patch(pixels=_resample(pixels, rows, columns), box_px=(x0, y0, x1, y1))


@dataclass(frozen=True, slots=True)
class _Mix:
    """A slice between two: (1 - weight) near + weight far."""

    near: int
    far: int
    weight: float


def _read_slices(image: CtImage, key: int, step_mm: float) -> tuple[list[_Mix], dict[int, Tensor]]:
    """How to mix the three slices, and each slice that takes."""
    mixes = list(_mixes(image.slice_indices, key, image.spacing_mm[2], step_mm))
    needed = {key} | {i for mix in mixes for i in (mix.near, mix.far)}
    slices = {index: image.slice_hu(index) for index in needed}
    if len(sizes := {tuple(s.shape) for s in slices.values()}) > 1:
        raise InputError(
            f"The slices around slice {key} differ in size: {sorted(sizes)}. They can't be of "
            "one series."
        )
    return mixes, slices


def _mixes(indices: Sequence[int], key: int, interval_mm: float, step_mm: float) -> Iterator[_Mix]:
    existing = set(indices)
    if key not in existing:
        raise InputError(f"There is no slice {key}; the image has {_range(indices)}.")
    known = math.isfinite(interval_mm) and interval_mm > 0
    away = step_mm / interval_mm if known else 0.0
    if abs(away - round(away)) < 1e-6:  # whole, but for the rounding of a computed interval
        away = float(round(away))
    feetward = 1 if indices[-1] >= indices[0] else -1
    for side in (-feetward, 0, feetward):
        near, far = (
            _existing(existing, key, side, steps) for steps in (math.floor(away), math.ceil(away))
        )
        yield _Mix(near, far, away - math.floor(away))


def _existing(existing: set[int], key: int, side: int, steps: int) -> int:
    """The slice `steps` away, or the first existing one on the way back to the key slice."""
    farthest = min(steps, max(existing) - min(existing))
    return next(i for s in range(farthest, -1, -1) if (i := key + side * s) in existing)


def _range(indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"slice {indices[0]} only"
    gaps = len(indices) <= max(indices) - min(indices)
    return f"slices {min(indices)} to {max(indices)}" + (", with gaps" if gaps else "")


def _mix(mixes: Sequence[_Mix], slices: dict[int, Tensor]) -> Tensor:
    return torch.stack(
        [
            slices[m.near] if m.near == m.far else slices[m.near].lerp(slices[m.far], m.weight)
            for m in mixes
        ]
    )


def _pixel_spacing(spacing_mm: Spacing) -> tuple[float, float]:
    x, y = spacing_mm[:2]
    low, high = _PIXEL_MM
    if not (low <= x <= high and low <= y <= high):
        raise InputError(
            f"A pixel of {x:g} x {y:g} mm can't be right: CT pictures have {low:g} to {high:g} mm. "
            "Check the spacing."
        )
    return x, y


def _checked_box(box_px: Sequence[float], width: int, height: int) -> Box:
    if len(box_px) != 4 or not all(math.isfinite(v) for v in box_px):
        raise InputError(f"The box {_numbers(box_px)} should be four numbers: x0, y0, x1, y1.")
    x0, y0, x1, y1 = box_px
    if x0 >= x1 or y0 >= y1:
        raise InputError(
            f"The box {_numbers(box_px)} is empty: x0 is to be below x1, and y0 below y1."
        )
    margin = BOX_MARGIN_PX
    if min(x0, y0) < -margin or x1 > width + margin or y1 > height + margin:
        raise InputError(
            f"The box {_numbers(box_px)} lies outside the picture, which is {width} pixels wide "
            f"and {height} high."
        )
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise InputError(
            f"The box {_numbers(box_px)} lies beside the picture ({width} x {height} pixels)."
        )
    return x0, y0, x1, y1


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"


def _scales(
    spacing: tuple[float, float], sides: tuple[int, int], mm_per_px: float, max_side_px: int
) -> tuple[float, float]:
    """Resized pixels per pixel, in x and y."""
    x, y = (mm / mm_per_px for mm in spacing)
    excess = max(1.0, max(sides[0] * x, sides[1] * y) / max_side_px)
    return x / excess, y / excess


@dataclass(frozen=True, slots=True)
class _Samples:
    """Where `size` resized pixels lie between the pixels `span` of one axis."""

    span: slice
    before: Tensor
    after: Tensor
    weight: Tensor

    @classmethod
    def along(cls, side: int, scale: float, start: int, size: int) -> _Samples:
        resized = torch.arange(start, start + size, dtype=torch.float64)
        resized.clamp_(0, max(1, round(side * scale)) - 1)
        place = ((resized + 0.5) / scale - 0.5).clamp_(0, side - 1)
        before = place.floor().long()
        after = (before + 1).clamp_(max=side - 1)
        first, last = int(before[0]), int(after[-1])
        weight = (place - before).float()
        return cls(slice(first, last + 1), before - first, after - first, weight)


def _resample(pixels: Tensor, rows: _Samples, columns: _Samples) -> Tensor:
    """Bilinear interpolation, one axis after the other. Shape: (3, h, w) -> (3, size, size)."""
    pixels = pixels[:, rows.before].lerp(pixels[:, rows.after], rows.weight[:, None])
    return pixels[..., columns.before].lerp(pixels[..., columns.after], columns.weight)
