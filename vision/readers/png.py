"""DeepLesion's 16-bit PNG, one file for each slice: HU + 32768, and no spacing.

Files are named by their slice: `000001_01_01/103.png`, or `000001_01_01_103.png` where several
series share a folder. We take the numbers to run from head to feet and the pictures to be in
radiological view; the files say neither.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vision.errors import InputError
from vision.readers.stack import SliceStack, given_spacing

HU_OFFSET: Final = 32768  # what is added to HU, so that they fit 16 bits without a sign
_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_NAME: Final = re.compile(r"(?:(?P<series>.+)_)?(?P<number>\d+)\.png", re.IGNORECASE)


def recognises(path: Path) -> bool:
    """Whether a file is a PNG, or a folder holds one."""
    if path.is_dir():
        return any(p.suffix.lower() == ".png" for p in path.iterdir())
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read(path: Path, *, spacing_mm: Sequence[float] | None = None) -> SliceStack:
    """Read a slice with its neighbours in the same folder, or a series folder.

    A file whose name ends in no number stands alone, as slice 0.

    Args:
        path: A PNG file or a folder.
        spacing_mm: (x, y, slice interval), needed.

    Raises:
        InputError: Without spacing, or if the folder holds no series or several.
    """
    spacing = given_spacing(path, spacing_mm)
    find = _series_of_folder if path.is_dir() else _series_of_file
    key, files = find(path)
    return SliceStack(
        path=path,
        spacing_mm=spacing,
        slice_indices=sorted(files),
        load=partial(_load, files),
        key_slice=key,
    )


def _series_of_file(path: Path) -> tuple[int | None, dict[int, Path]]:
    if not (name := _NAME.fullmatch(path.name)):
        return 0, {0: path}
    number = int(name["number"])
    return number, _all_series(path.parent)[name["series"]] | {number: path}


def _series_of_folder(path: Path) -> tuple[int | None, dict[int, Path]]:
    found = _all_series(path)
    if len(found) != 1:
        raise InputError(
            f"{path} holds several series: give the file of the key slice."
            if found
            else f"No PNG in {path} is named by its slice, such as 103.png: give a file."
        )
    return None, next(iter(found.values()))


def _all_series(folder: Path) -> dict[str | None, dict[int, Path]]:
    """The slices of each series in a folder."""
    found: dict[str | None, dict[int, Path]] = {}
    for path in folder.iterdir():
        if name := _NAME.fullmatch(path.name):
            found.setdefault(name["series"], {})[int(name["number"])] = path
    return found


def _load(files: dict[int, Path], index: int) -> Tensor:
    path = files[index]
    try:
        with Image.open(path) as picture:
            if not picture.mode.startswith("I"):
                raise InputError(
                    f"{path} is a PNG of type {picture.mode}, not one of 16 bits that hold "
                    "HU + 32768, as DeepLesion's do. Give an original slice."
                )
            stored = np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise InputError(
            f"Can't read {path}: the PNG is truncated or damaged. Copy it again."
        ) from error
    return torch.from_numpy(stored.astype(np.float32)).sub_(HU_OFFSET)
