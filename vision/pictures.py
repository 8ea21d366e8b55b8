"""Small pictures of lesions, for pages: a patch as the bytes of a PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageColor, ImageDraw
from torch import Tensor

from vision.drawing import BOX_COLOUR, Window, clamp_box, key_slice_hu, mean_hu, pick_window
from vision.images import WINDOW_HU

_BOX_INDEX: Final = 255  # in the palette; the greys end below it
_LINE_PX: Final = 2


def patch_png(
    pixels: Tensor,
    box_px: Sequence[float],
    *,
    scale: int = 2,
    window_hu: Window | None = None,
    pixels_hu: Window = WINDOW_HU,
) -> bytes:
    """Draw the key slice of a patch with the lesion's box around its pixels.

    Each pixel of the patch becomes a square; there is no interpolation.

    Args:
        pixels: The patch; its middle slice is drawn. Shape: (3, H, W), in [0, 255].
        box_px: The lesion (x0, y0, x1, y1): the first and the last pixel that it takes. What
            lies past the patch is cut off.
        scale: The width of a square, in pixels of the picture.
        window_hu: HU values drawn black and white; by default what `pick_window` takes for the
            mean density in the box.
        pixels_hu: The HU values that 0 and 255 of `pixels` stand for.

    Returns:
        A PNG of scale * W by scale * H pixels, some 14 KB for 240 x 240 of a body.

    Raises:
        ValueError: If `pixels` is no patch, or the box lies outside it.
    """
    image_hu = key_slice_hu(pixels, pixels_hu)
    box = clamp_box(box_px, image_hu.shape[1], image_hu.shape[0])
    black, white = window_hu or pick_window(mean_hu(image_hu, box))[1]
    grey = ((image_hu - black) / (white - black)).clamp(0, 1) * (_BOX_INDEX - 1)
    squares = np.kron(grey.round().byte().numpy(), np.ones((scale, scale), dtype=np.uint8))
    picture = Image.fromarray(squares).convert("P")
    picture.putpalette(_palette())
    _outline(picture, box, scale)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def data_uri(png: bytes) -> str:
    """The picture as an address that holds it, for the `src` of an image in a page.

    Example:
        >>> data_uri(b"PNG")
        'data:image/png;base64,UE5H'
    """
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _palette() -> list[int]:
    """Greys from black to white, and last the colour of the box."""
    greys = np.linspace(0, 255, _BOX_INDEX).round().astype(int)
    return [*greys.repeat(3).tolist(), *ImageColor.getrgb(BOX_COLOUR)]


def _outline(picture: Image.Image, box: Sequence[float], scale: int) -> None:
    """Draw along the border of the box's pixels; a side on the picture's own is drawn whole."""
    x0, y0, x1, y1 = (round(edge * scale) for edge in (box[0], box[1], box[2] + 1, box[3] + 1))
    right, bottom = picture.width - 1, picture.height - 1
    line = (max(x0 - 1, 0), max(y0 - 1, 0), min(x1, right), min(y1, bottom))
    ImageDraw.Draw(picture).rectangle(line, outline=_BOX_INDEX, width=_LINE_PX)
