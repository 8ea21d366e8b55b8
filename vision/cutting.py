"""From lesions to patches: find a lesion's image, open it once, cut what lies in it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from vision.errors import InputError
from vision.images import CtImage, Patch, lesion_patch
from vision.readers import open_image
from vision.rows import Lesion, Rejected

Cut = tuple[Lesion, Patch]
_DEEPLESION: Final = re.compile(r"(.*/)?(\d+_\d+_\d+)[/_](\d+)\.(?:png|jpg)")
_SPACING_TOLERANCE: Final = 0.02


def cut_patches(
    lesions: Iterable[Lesion], images: Path, *, workers: int = 1
) -> Iterator[Cut | Rejected]:
    """Cut the patch of each lesion, image by image; the order does not depend on `workers`.

    Decoding and resampling leave Python's lock alone, so threads do. PyTorch's own threads would
    only wait for each other: on two cores they took four times the processor time.
    """
    groups: dict[tuple[str, tuple[float, ...]], list[Lesion]] = {}
    for lesion in lesions:
        groups.setdefault((lesion.image_file, lesion.spacing_mm), []).append(lesion)
    waiting: deque[Future[list[Cut | Rejected]]] = deque()
    with _one_torch_thread(), ThreadPoolExecutor(workers) as pool:
        for group in groups.values():
            waiting.append(pool.submit(_cut_image, group, images))
            if len(waiting) > 4 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def find_image(images: Path, image_file: str) -> Path:
    """The file or folder that a table calls `image_file`.

    A DeepLesion slice is found as `000001_01_01/103.png` and as `000001_01_01_103.png`, whichever
    of the two the table says, and as a JPG of either name where there is no PNG.

    Raises:
        InputError: If there is none, or `image_file` does not count from the folder of images.
    """
    if Path(image_file).is_absolute():
        raise InputError("image_file is to be relative to the folder of images")
    names = [image_file]
    if match := _DEEPLESION.fullmatch(image_file):
        folder, series, number = match[1] or "", match[2], match[3]
        names += [
            f"{folder}{series}{joint}{number}.{ending}"
            for ending in ("png", "jpg")
            for joint in ("/", "_")
        ]
    for name in names:
        if (images / name).exists():
            return images / name
    raise InputError("image missing")


def _cut_image(lesions: Sequence[Lesion], images: Path) -> list[Cut | Rejected]:
    """The patches of lesions in one image."""
    first = lesions[0]
    try:
        path = find_image(images, first.image_file)
        image = open_image(path, spacing_mm=first.spacing_mm or None)
        _check_spacing(image, first.spacing_mm)
    except InputError as error:
        return [_rejected(lesion, error) for lesion in lesions]
    return [_cut_lesion(lesion, image, path.relative_to(images)) for lesion in lesions]


def _cut_lesion(lesion: Lesion, image: CtImage, file: Path) -> Cut | Rejected:
    try:
        patch = lesion_patch(image, lesion.slice_index, lesion.box_px)
    except InputError as error:
        return _rejected(lesion, error)
    return replace(lesion, image_file=file.as_posix(), spacing_mm=image.spacing_mm), patch


def _check_spacing(image: CtImage, table: Sequence[float]) -> None:
    """An image that knows its pixels is taken at its word, unless the table contradicts it."""
    for ours, theirs in zip(image.spacing_mm[:2], table[:2], strict=False):
        if abs(ours - theirs) > _SPACING_TOLERANCE * ours:
            raise InputError(
                f"the table says pixels of {theirs:g} mm and the image {ours:g} mm; one of them is "
                "wrong, or it is another image"
            )


def _rejected(lesion: Lesion, error: InputError) -> Rejected:
    return Rejected(
        file=lesion.file, line=lesion.line, lesion_id=lesion.lesion_id, reason=str(error)
    )
