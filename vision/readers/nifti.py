"""NIfTI volumes, in any orientation: the axes nearest to the patient's become the picture's.

A slice's index is the voxel index along the file's through-plane axis, as stored.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError
from torch import Tensor

from vision.errors import InputError
from vision.images import Spacing
from vision.readers.stack import SliceStack

_AIR_HU: Final = -1024.0
_DAMAGE: Final = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)


def recognises(path: Path) -> bool:
    """Whether a file is named as nibabel wants it."""
    return path.name.lower().endswith((".nii", ".nii.gz")) and not path.is_dir()


def read(path: Path, *, spacing_mm: Sequence[float] | None = None) -> SliceStack:
    """Read a volume. Its own spacing holds; `spacing_mm` is not asked for.

    Raises:
        InputError: If the file is damaged, holds no single volume of numbers, or does not say how
            the patient lies.
    """
    try:
        image: Any = nib.load(path)
        stored = np.asanyarray(image.dataobj.get_unscaled())  # mapped, if not compressed
        slope, intercept = image.dataobj.slope, image.dataobj.inter
    except _DAMAGE as error:
        raise InputError(
            f"Can't read {path}: the NIfTI file is truncated or damaged. Copy it again."
        ) from error
    volume = _single_volume(path, stored)
    axes, towards = _orientation(path, image)
    x, y, z = axes
    slices = volume.transpose(z, y, x)[:, :: towards[1], :: towards[0]]  # a view

    def load(index: int) -> Tensor:
        picture = slices[index].astype(np.float32, order="C")
        return torch.from_numpy(picture).mul_(slope).add_(intercept).nan_to_num_(nan=_AIR_HU)

    count = len(slices)
    return SliceStack(
        path=path,
        spacing_mm=_spacing(image.affine[:3, axes]),
        slice_indices=range(count) if towards[2] > 0 else range(count - 1, -1, -1),
        load=load,
    )


def _spacing(steps: np.ndarray[Any, Any]) -> Spacing:
    """Pixel width, pixel height, and the interval along the slices' normal.

    Where the gantry was tilted, slices are shifted against each other, and the step to the next
    is longer than the interval.
    """
    x, y, z = steps.T
    normal = np.cross(x, y)
    interval = abs(normal @ z) / np.linalg.norm(normal)
    return float(np.linalg.norm(x)), float(np.linalg.norm(y)), float(interval)


def _single_volume(path: Path, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The volume as (i, j, k)."""
    shape = (*stored.shape, 1, 1, 1)[: max(3, stored.ndim)]
    if any(n != 1 for n in shape[3:]):
        raise InputError(
            f"{path} holds several volumes, its shape being {stored.shape}: save one of them."
        )
    if stored.dtype.kind not in "iuf" or not stored.size:
        raise InputError(f"{path} holds no CT volume but {stored.dtype} of shape {stored.shape}.")
    return stored.reshape(shape[:3])


def _orientation(path: Path, image: Any) -> tuple[list[int], list[int]]:
    """The stored axes along left, posterior and feet, and +1 or -1 for the way each runs."""
    header, affine = image.header, image.affine
    coded = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    if not coded or not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise InputError(
            f"{path} does not say how the patient lies: its header has no usable qform or sform. "
            "Convert the images again, from the DICOM files if there are any."
        )
    axes, towards = [0, 0, 0], [0, 0, 0]
    # nibabel counts towards right, anterior and head: the opposite of ours.
    runs = io_orientation(affine)  # type: ignore[no-untyped-call]
    for stored_axis, (patient_axis, sign) in enumerate(runs):
        axes[int(patient_axis)] = stored_axis
        towards[int(patient_axis)] = int(-sign)
    return axes, towards
