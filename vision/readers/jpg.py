"""A slice windowed to 8 bits, as DeepLesion's slices are sometimes passed on as JPG.

    HU = value / 255 * 4095 - 1024

One grey level is 16 HU and JPEG adds noise, so soft tissues hardly differ: good enough to try
things out, not to train. Such a picture has no neighbours, which leaves its key slice three times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vision.errors import InputError
from vision.images import WINDOW_HU
from vision.readers.stack import SliceStack, given_spacing


def recognises(path: Path) -> bool:
    """Whether a file is a JPG."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def read(path: Path, *, spacing_mm: Sequence[float] | None = None) -> SliceStack:
    """Read one slice, whose index is the number at the end of its name, or 0."""
    number = path.stem.rpartition("_")[2]
    index = int(number) if number.isdecimal() else 0
    return SliceStack(
        path=path,
        spacing_mm=given_spacing(path, spacing_mm),
        slice_indices=[index],
        load=partial(_load, path),
        key_slice=index,
    )


def _load(path: Path, _: int) -> Tensor:
    try:
        with Image.open(path) as picture:
            channels = np.atleast_3d(np.asarray(picture))
    except OSError as error:
        raise InputError(f"Can't read {path}: the JPG is truncated or damaged.") from error
    if (channels != channels[..., :1]).any():
        raise InputError(f"{path} is a colour picture, not a CT slice.")
    low, high = WINDOW_HU
    return torch.from_numpy(channels[..., 0] / np.float32(255) * np.float32(high - low) + low)
