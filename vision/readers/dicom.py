"""DICOM: a file or a series folder, axial CT with one slice for each file.

A slice's index is its InstanceNumber, or its place counted from the head where the numbers are
absent, repeated or at odds with the positions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from torch import Tensor

from vision.errors import InputError
from vision.images import Spacing
from vision.readers.stack import SliceStack, given_spacing

_TAGS: Final = """
    Modality SeriesInstanceUID SeriesNumber InstanceNumber NumberOfFrames Rows Columns
    ImagePositionPatient ImageOrientationPatient PixelSpacing
""".split()
_AXIAL: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_LEAST_COSINE: Final = 0.8  # of the slice normal and the patient's long axis: gantries tilt by 30°
_SAME_PLACE_MM: Final = 1e-3
_EVEN: Final = 0.2  # how much of an interval a slice may lie off its place
_DAMAGE: Final = (
    *(InvalidDicomError, OSError, EOFError, AttributeError, KeyError, TypeError, ValueError),
    *(RuntimeError, NotImplementedError, struct.error),
)


def recognises(path: Path) -> bool:
    """Whether a file has DICOM's mark, or a folder holds such a file."""
    if path.is_dir():
        return any(recognises(p) for p in path.iterdir() if p.is_file())
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read(path: Path, *, spacing_mm: Sequence[float] | None = None) -> SliceStack:
    """Read a series: the one in a folder, or the one in a file's folder to which it belongs.

    The slice interval comes from the positions along the slices' normal, never from
    SliceThickness. One slice without position stands alone; one without orientation is taken to
    lie as usual.

    Args:
        path: A file or a folder. Files that are no DICOM are passed over.
        spacing_mm: (x, y, slice interval), for files without PixelSpacing.

    Raises:
        InputError: If there is no CT, several series, or no axial series of single slices.
    """
    slices = _series(path)
    first = slices[0]
    if several := next((s for s in slices if s.frames > 1), None):
        raise InputError(
            f"{several.path} holds several slices in one file (enhanced CT): convert it to NIfTI "
            "or to one file for each slice."
        )
    transposed, rows, columns = _view(path, first.orientation)
    indices, interval = _index(path, slices, by_file=path.is_file())
    files = {index: s.path for index, s in indices.items()}
    return SliceStack(
        path=path,
        spacing_mm=_spacing(first, transposed, interval, spacing_mm),
        slice_indices=list(indices),
        load=partial(_load, files, transposed, rows, columns),
        key_slice=next((i for i, file in files.items() if file == path), None),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Header:
    """A file without its pixels.

    `orientation` holds the directions of a row and of a column, `position` the first pixel's
    centre, in mm towards the patient's left, back and head. `series` is what the slices of one
    series share: not always a UID, which anonymisers empty.
    """

    path: Path
    modality: str
    series: tuple[object, ...]
    series_number: str
    number: int | None
    frames: int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    pixel_mm: tuple[float, ...]

    @property
    def depth(self) -> float | None:
        """The position along the slice's normal, in mm towards the head."""
        if not self.position:
            return None
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return float(np.dot(self.position, normal)) * (1 if normal[2] > 0 else -1)


def _read_header(path: Path) -> _Header:
    try:
        tags = dcmread(path, stop_before_pixels=True, specific_tags=[*_TAGS])
        number = tags.get("InstanceNumber")
        orientation = _floats(tags, "ImageOrientationPatient", 6) or _AXIAL
        pixel_mm = _floats(tags, "PixelSpacing", 2)
        uid = str(tags.get("SeriesInstanceUID") or "")
        sides = tags.get("Rows"), tags.get("Columns")
        return _Header(
            path=path,
            modality=str(tags.get("Modality") or "unknown"),
            series=(uid, *sides, *np.round(pixel_mm, 4), *(np.round(orientation, 2) + 0.0)),
            series_number=str(tags.get("SeriesNumber") or "?"),
            number=None if number in (None, "") else int(number),
            frames=int(tags.get("NumberOfFrames") or 1),
            orientation=orientation,
            position=_floats(tags, "ImagePositionPatient", 3),
            pixel_mm=pixel_mm,
        )
    except _DAMAGE as error:
        raise InputError(f"Can't read {path}: the DICOM file is damaged.") from error


def _floats(tags: Dataset, name: str, count: int) -> tuple[float, ...]:
    """The numbers of a tag, or none."""
    values = tuple(float(v) for v in tags.get(name) or ())
    if len(values) not in (0, count):
        raise ValueError(f"{name} has {len(values)} numbers, not {count}.")
    return values


def _series(path: Path) -> list[_Header]:
    """The headers of one series of CT slices."""
    if not path.is_dir():
        if (own := _read_header(path)).modality != "CT":
            raise InputError(f"{path} is no CT but of modality {own.modality}.")
        return [h for h in _headers(path.parent) if h.series == own.series]
    headers = list(_headers(path))
    groups: dict[tuple[object, ...], list[_Header]] = {}
    for header in headers:
        if header.modality == "CT":
            groups.setdefault(header.series, []).append(header)
    if not groups:
        found = ", ".join(sorted({h.modality for h in headers}))
        raise InputError(f"The folder {path} holds no CT but the modality {found}.")
    if len(groups) > 1:
        raise InputError(
            f"The folder {path} holds {len(groups)} series: {_listed(groups.values())}. Give one "
            "of its files to choose that file's series."
        )
    return next(iter(groups.values()))


def _headers(folder: Path) -> Iterable[_Header]:
    return (_read_header(p) for p in sorted(folder.iterdir()) if p.is_file() and recognises(p))


def _listed(groups: Iterable[list[_Header]]) -> str:
    return ", ".join(
        f"number {g[0].series_number} with {len(g)} slices ({g[0].path.name})" for g in groups
    )


def _view(path: Path, orientation: Sequence[float]) -> tuple[bool, int, int]:
    """How to turn the stored picture: transpose it first?, then the steps along rows, columns."""
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    if not abs(normal[2]) > _LEAST_COSINE:
        raise InputError(
            f"{path} is not axial: its slices are to lie across the patient's long axis. Give the "
            "axial series, or convert this one to NIfTI."
        )
    transposed = bool(abs(along_row[0]) < abs(along_row[1]))
    right_left, front_back = (along_column, along_row) if transposed else (along_row, along_column)
    return transposed, 1 if front_back[1] > 0 else -1, 1 if right_left[0] > 0 else -1


def _index(path: Path, slices: list[_Header], *, by_file: bool) -> tuple[dict[int, _Header], float]:
    """Index the slices from head to feet; also the mm between slices whose indices differ by one.

    Args:
        path: For errors.
        slices: In any order.
        by_file: Whether the user names the key slice by its file, so that indices which are no
            InstanceNumbers mislead nobody.
    """
    numbers = {s.number: s for s in slices if s.number is not None}
    distinct = len(numbers) == len(slices)
    if len(slices) == 1:
        return (numbers or {0: slices[0]}), math.nan
    if any(s.depth is None for s in slices):
        if not distinct:
            raise InputError(f"The slices of {path} have neither positions nor distinct numbers.")
        return dict(sorted(numbers.items())), math.nan
    slices, down = _from_head(path, slices)
    counts = [np.array([s.number for s in slices])] if distinct else []
    if by_file or not distinct:
        counts.append(_count(down))
    for counted in counts:
        if interval := _interval(counted, down):
            return dict(zip(counted.tolist(), slices, strict=True)), interval
    raise InputError(
        f"The InstanceNumbers in {path} are at odds with the slices' positions: give the file of "
        "the key slice instead of the folder."
        if distinct and not by_file
        else f"The slices of {path} lie at uneven distances: leave an even part in the folder."
    )


def _from_head(path: Path, slices: list[_Header]) -> tuple[list[_Header], NDArray[np.float64]]:
    """The slices from head to feet, and their distances in mm from the first."""
    depths = np.array([s.depth for s in slices], np.float64)
    order = np.argsort(-depths)
    down = depths.max() - depths[order]
    if (np.diff(down) < _SAME_PLACE_MM).any():
        raise InputError(
            f"Several slices of {path} lie at the same position: leave one series in the folder."
        )
    return [slices[i] for i in order], down


def _count(down: NDArray[np.float64]) -> NDArray[np.int_]:
    """Count the slices by their distances; a missing slice leaves a gap."""
    distances = np.diff(down)
    steps = np.rint(distances / distances.min()).astype(int)
    return np.concatenate([[0], steps.cumsum()])


def _interval(counted: NDArray[np.int_], down: NDArray[np.float64]) -> float | None:
    """The distance per count, if the slices lie where their counts say."""
    counts = (counted - counted[0]) * np.sign(counted[-1] - counted[0])
    interval = float(down[-1] / counts[-1])
    return interval if (abs(counts * interval - down) < _EVEN * interval).all() else None


def _spacing(
    first: _Header, transposed: bool, interval: float, spacing_mm: Sequence[float] | None
) -> Spacing:
    if not first.pixel_mm:
        x, y, given_interval = given_spacing(first.path, spacing_mm)
        return x, y, given_interval if math.isnan(interval) else interval
    between_rows, between_columns = first.pixel_mm
    if transposed:
        return between_rows, between_columns, interval
    return between_columns, between_rows, interval


def _load(files: dict[int, Path], transposed: bool, rows: int, columns: int, index: int) -> Tensor:
    path = files[index]
    try:
        slice_ = dcmread(path)
        stored = slice_.pixel_array
        slope = float(slice_.get("RescaleSlope") or 1)
        intercept = float(slice_.get("RescaleIntercept") or 0)
    except _DAMAGE as error:
        raise InputError(
            f"Can't read the pixels of {path}: the DICOM file is truncated, or compressed in a "
            "way that pydicom can't decode here."
        ) from error
    if stored.ndim != 2:
        raise InputError(f"{path} is a colour picture, not a CT slice.")
    turned = (stored.T if transposed else stored)[::rows, ::columns].astype(np.float32, order="C")
    return torch.from_numpy(turned).mul_(slope).add_(intercept)
