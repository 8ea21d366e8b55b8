"""Image readers, one module per format; `READERS` names them.

A reader recognises its files by content and hands out a `CtImage`: axial slices in HU, in
radiological view, decoded when asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from vision.errors import InputError
from vision.readers import dicom, jpg, nifti, png
from vision.readers.stack import SliceStack

# In the order in which they are asked: a DICOM folder may hold previews as PNG.
READERS: Final[dict[str, ModuleType]] = {
    "dicom": dicom,
    "nifti": nifti,
    "png": png,
    "jpg": jpg,
}


def open_image(path: Path, *, spacing_mm: Sequence[float] | None = None) -> SliceStack:
    """Open a CT image, whatever its format.

    Args:
        path: A NIfTI file; a DICOM file or the folder of its series; the PNG of a DeepLesion
            slice or the folder of its series; a slice windowed to JPG.
        spacing_mm: (x, y, slice interval) for the formats without spacing, PNG and JPG.

    Raises:
        InputError: If the path can't be read or no reader recognises it.
    """
    if not path.exists():
        raise InputError(f"There is no file or folder {path}.")
    if path.is_dir() and not any(path.iterdir()):
        raise InputError(f"The folder {path} is empty. Give a folder with the slices of a series.")
    try:
        for reader in READERS.values():
            if reader.recognises(path):
                image: SliceStack = reader.read(path, spacing_mm=spacing_mm)
                return image
    except OSError as error:
        raise InputError(f"Can't read {path}: {error.strerror}.") from error
    raise InputError(
        f"Can't read {path}: no image reader recognises it. Known formats: {', '.join(READERS)}. "
        "A volume is one file (.nii, .nii.gz); a DICOM or PNG series is a folder or a file in it."
    )
