"""What every reader hands out: slices that are decoded when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vision.errors import InputError
from vision.images import Spacing


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceStack:
    """A `vision.images.CtImage`.

    Attributes:
        path: What the user gave; named in errors.
        spacing_mm: (x, y, slice interval), as `CtImage` has it.
        slice_indices: From head to feet.
        load: Reads one slice: HU, float32, radiological view.
        key_slice: The slice that `path` itself names; None for a volume or a folder.
    """

    path: Path
    spacing_mm: Spacing
    slice_indices: Sequence[int]
    load: Callable[[int], Tensor] = field(repr=False)
    key_slice: int | None = None

    def slice_hu(self, index: int) -> Tensor:
        if index not in self.slice_indices:
            raise InputError(f"{self.path} has no slice {index}.")
        return self.load(index)


def given_spacing(path: Path, spacing_mm: Sequence[float] | None) -> Spacing:
    """The spacing of a file that holds none."""
    if spacing_mm is None:
        raise InputError(
            f"{path} holds no spacing: give the width and height of a pixel and the "
            "slice interval in mm (DeepLesion's DL_info.csv has them under Spacing_mm_px_)."
        )
    if len(spacing_mm) != 3:
        raise InputError(
            f"The spacing of {path} should be three numbers: the width and height of a pixel and "
            f"the slice interval in mm. It has {len(spacing_mm)}."
        )
    x, y, interval = (float(mm) for mm in spacing_mm)
    return x, y, interval
