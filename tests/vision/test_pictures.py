"""Pictures of patches for pages: read back, and looked at pixel by pixel."""

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vision.pictures import data_uri, patch_png

YELLOW = (255, 176, 0)


def patch_of(hu, size=120):
    """A patch of one density. Shape: (3, size, size)."""
    return torch.full((3, size, size), (hu + 1024) * 255 / 4095)


def read(png):
    """A picture's colours. Shape: (H, W, 3)."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def outline(picture):
    """Where the box's colour is. Shape: (H, W)."""
    return (picture == YELLOW).all(-1)


def ends(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max(), rows.max()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_pixel_becomes_a_square(scale):
    patch = patch_of(-160)
    patch[1, 10, 20] = patch_of(240)[0, 0, 0]

    picture = read(patch_png(patch, (50, 50, 60, 60), scale=scale, window_hu=(-160, 240)))

    assert picture.shape == (120 * scale, 120 * scale, 3)
    square = picture[10 * scale : 11 * scale, 20 * scale : 21 * scale]
    assert (square == 255).all()
    assert (picture == 255).all(-1).sum() == scale**2


@given(st.integers(1, 90), st.integers(1, 90), st.integers(4, 25), st.integers(4, 25))
def test_the_box_runs_around_its_pixels(x0, y0, width, height):
    box = (x0, y0, x0 + width - 1, y0 + height - 1)

    mask = outline(read(patch_png(patch_of(40), box)))

    assert ends(mask) == (2 * x0 - 1, 2 * y0 - 1, 2 * (x0 + width), 2 * (y0 + height))
    inside = mask[2 * y0 + 1 : 2 * (y0 + height) - 1, 2 * x0 + 1 : 2 * (x0 + width) - 1]
    assert not inside.any()


@pytest.mark.parametrize("box", [(-20, -5, 140, 200), (0, 0, 119, 119)])
def test_a_box_larger_than_the_patch_is_drawn_on_its_border(box):
    mask = outline(read(patch_png(patch_of(40), box)))

    assert mask[[0, 1, -1, -2]].all()
    assert mask[:, [0, 1, -1, -2]].all()
    assert not mask[2:-2, 2:-2].any()


def test_the_box_picks_the_window():
    """In a lung window -600 HU is half grey, in one for soft tissue black."""
    lung, around = patch_of(-600), patch_of(-600)
    around[:, 50:61, 50:61] = patch_of(40)[:, 50:61, 50:61]

    assert read(patch_png(lung, (50, 50, 60, 60)))[0, 0, 0] == pytest.approx(127, abs=1)
    soft = read(patch_png(around, (50, 50, 60, 60)))
    assert soft[0, 0, 0] == 0
    assert soft[110, 110, 0] == pytest.approx(127, abs=1)


def test_other_windows_of_the_pixels_are_understood():
    patch = torch.full((3, 60, 60), 127.5)  # 0 HU
    picture = read(patch_png(patch, (5, 5, 9, 9), window_hu=(-100, 100), pixels_hu=(-500, 500)))
    assert picture[40, 40].tolist() == pytest.approx([127] * 3, abs=1)


def test_the_same_patch_gives_the_same_bytes():
    patch = 255 * torch.rand(3, 120, 120, generator=torch.Generator().manual_seed(1))
    png = patch_png(patch, (30, 30, 60, 60))
    assert png == patch_png(patch.double(), (30, 30, 60, 60))
    assert base64.b64decode(data_uri(png).removeprefix("data:image/png;base64,")) == png


@pytest.mark.parametrize("box", [(120, 0, 130, 9), (9, 9, 3, 3), (-9, 0, -1, 5)])
def test_a_box_beside_the_patch_is_refused(box):
    with pytest.raises(ValueError, match="no pixel in a patch of 120 x 120"):
        patch_png(patch_of(0), box)


def test_what_is_no_patch_is_refused():
    with pytest.raises(ValueError, match=r"got \(1, 8, 8\)"):
        patch_png(torch.zeros(1, 8, 8), (0, 0, 4, 4))
