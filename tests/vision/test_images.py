import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import InputError
from vision.images import lesion_patch, normalise, three_slices, window_hu


class Volume:
    """Slices in memory, those in `missing` left out; the indices may count down."""

    def __init__(self, slices, spacing_mm=(1.0, 1.0, 1.0), *, first=0, missing=(), down=False):
        self.spacing_mm = spacing_mm
        indices = [first + k for k in range(len(slices))]
        self.slices = dict(zip(indices[::-1] if down else indices, slices, strict=True))
        self.slice_indices = [i for i in self.slices if i not in missing]

    def slice_hu(self, index):
        assert index in self.slice_indices
        return self.slices[index]


def random_slices(count, height, width, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(-1500, 3500, (count, height, width), generator=rng).float()


def ramps(height, width):
    """A picture of its rows, one of its columns, and a third."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([y, x, x - y]).float() - 1024


# --- Window


def test_a_window_needs_a_width_and_floats():
    with pytest.raises(ValueError, match="window is empty"):
        window_hu(torch.zeros(2, 2), low=5, high=5)
    with pytest.raises(ValueError, match="HU as floats"):
        window_hu(torch.zeros(2, 2, dtype=torch.int16))


def test_one_hu_survives_the_window():
    hu = torch.arange(-1024.0, 3072.0)

    windowed = window_hu(hu)

    assert (windowed.diff() > 0).all()
    assert (windowed.half().float() - windowed).abs().max() <= 2**-4
    assert windowed[-1] == 255


# --- Three slices


def reference_slices(slices, missing, key, interval):
    """The rule of the authors' loader, one slice at a time, in Python floats."""
    if not interval > 0:
        return [slices[key]] * 3
    ratio = 2 / interval

    def at(side, steps):
        while not 0 <= key + side * steps < len(slices) or key + side * steps in missing:
            steps -= 1
        return slices[key + side * steps].double()

    def neighbour(side):
        if ratio == int(ratio):
            return at(side, int(ratio))
        far = (ratio - math.floor(ratio)) * at(side, math.ceil(ratio))
        return far + (math.ceil(ratio) - ratio) * at(side, math.floor(ratio))

    return [neighbour(-1), slices[key], neighbour(1)]


@given(
    interval=st.sampled_from([0.5, 0.7, 1, 1.25, 2, 2.5, 3, 5, 10, 0, -5, math.nan, math.inf]),
    key=st.integers(0, 8),
    missing=st.sets(st.integers(0, 8)),
    down=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_three_slices_match_the_rule(interval, key, missing, down, seed):
    slices, missing = random_slices(9, 3, 4, seed), missing - {key}
    indices = range(8, -1, -1) if down else range(9)
    image = Volume(slices, (1, 1, interval), missing=[indices[m] for m in missing], down=down)

    hu = three_slices(image, indices[key])

    finite = 0 if math.isinf(interval) else interval
    expected = torch.stack([s.float() for s in reference_slices(slices, missing, key, finite)])
    torch.testing.assert_close(hu, expected, rtol=0, atol=1 / 256)


def test_a_computed_interval_is_whole_but_for_rounding():
    slices = random_slices(5, 2, 2)

    hu = three_slices(Volume(slices, (1, 1, 0.9999999999)), 2)

    assert torch.equal(hu, slices[[0, 2, 4]])


@pytest.mark.parametrize("interval", [1e-12, 1e-300])
def test_a_tiny_interval_ends_at_the_outer_slices(interval):
    slices = random_slices(5, 2, 2)

    hu = three_slices(Volume(slices, (1, 1, interval)), 2)

    assert torch.equal(hu, slices[[0, 2, 4]])


def test_a_missing_key_slice_is_named():
    image = Volume(random_slices(5, 2, 2), first=10, missing=[12])

    with pytest.raises(InputError, match="no slice 12; the image has slices 10 to 14, with gaps"):
        three_slices(image, 12)


def test_slices_of_different_size_are_refused():
    image = Volume([torch.zeros(2, 2), torch.zeros(2, 3)], (1, 1, 2.0))

    with pytest.raises(InputError, match="differ in size"):
        three_slices(image, 0)


# --- Patch


def reference_patch(hu, box, spacing, size=120, longest=800):
    """Window, resize the whole picture, pad it, cut it: pixel by pixel, in Python floats."""
    height, width = hu.shape
    scale = spacing if max(height, width) * spacing <= longest else longest / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    grey = [[255 * (min(max(v, -1024), 3071) + 1024) / 4095 for v in row] for row in hu.tolist()]

    def interpolated(i, j):
        y = min(max((i + 0.5) / scale - 0.5, 0), height - 1)
        x = min(max((j + 0.5) / scale - 0.5, 0), width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        upper = grey[top][left] * (left + 1 - x) + grey[top][right] * (x - left)
        lower = grey[bottom][left] * (left + 1 - x) + grey[bottom][right] * (x - left)
        return upper * (top + 1 - y) + lower * (y - top)

    x0, y0, x1, y1 = (v * scale for v in box)
    left, top = round((x0 + x1) / 2) - size // 2, round((y0 + y1) / 2) - size // 2
    patch = [
        [
            interpolated(min(max(i, 0), rows - 1), min(max(j, 0), columns - 1))
            for j in range(left, left + size)
        ]
        for i in range(top, top + size)
    ]
    moved = (x0 - left, y0 - top, x1 - left, y1 - top)
    return torch.tensor(patch), tuple(max(v, 0) for v in moved)


@given(
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    spacing=st.sampled_from([0.3, 0.5, 0.7, 0.785156, 1, 1.3, 2, 3]),
    box=st.tuples(*[st.floats(0, 1)] * 4),
    size=st.sampled_from([6, 20]),
    longest=st.sampled_from([30, 800]),
    seed=st.integers(0, 2**16),
)
def test_patches_match_the_picture_resized_as_a_whole(
    height, width, spacing, box, size, longest, seed
):
    (hu,) = random_slices(1, height, width, seed)
    x0, x1, y0, y1 = *sorted(v * width for v in box[:2]), *sorted(v * height for v in box[2:])
    box = (x0, y0, x1 + 0.25, y1 + 0.25)

    patch = lesion_patch(
        Volume([hu], (spacing, spacing, 0)), 0, box, size_px=size, max_side_px=longest
    )

    pixels, box_px = reference_patch(hu, box, spacing, size, longest)
    torch.testing.assert_close(patch.pixels[1], pixels, rtol=0, atol=1e-3)
    assert patch.box_px == pytest.approx(box_px, abs=1e-9)


def test_a_patch_is_three_slices_around_the_lesion():
    slices = random_slices(3, 300, 320)

    patch = lesion_patch(Volume(slices, (1, 1, 2)), 1, (100, 120, 141, 151))

    # The centre (120.5, 135.5) is rounded half to even: (120, 136).
    assert torch.equal(patch.pixels, window_hu(slices[:, 76:196, 60:180]))
    assert patch.box_px == (40, 44, 81, 75)
    assert patch.pixels.shape == (3, 120, 120)
    assert patch.pixels.dtype == torch.float32
    assert normalise(patch.pixels).min() >= -50 / 255


@pytest.mark.parametrize(
    ("box", "row", "column"),
    [
        ((0, 0, 10, 10), -55, -55),
        ((290, 0, 300, 10), -55, 235),
        ((0, 190, 10, 200), 135, -55),
        ((290, 190, 300, 200), 135, 235),
    ],
)
def test_edge_pixels_are_repeated_past_the_border(box, row, column):
    rows = torch.arange(row, row + 120).clamp(0, 199)
    columns = torch.arange(column, column + 120).clamp(0, 299)
    slices = random_slices(1, 200, 300)

    patch = lesion_patch(Volume(slices), 0, box)

    assert torch.equal(patch.pixels[0], window_hu(slices[0])[rows][:, columns])
    assert patch.box_px == (55, 55, 65, 65)


def test_a_picture_under_the_patch_keeps_the_lesion_in_its_box():
    hu = torch.full((100, 90), -1024.0)
    hu[30:40, 60:66] = 3071

    patch = lesion_patch(Volume([hu]), 0, (60, 30, 66, 40))

    x0, y0, x1, y1 = (int(v) for v in patch.box_px)
    assert (patch.pixels[0, y0:y1, x0:x1] == 255).all()
    assert (patch.pixels[0] == 255).sum() == 60


def test_a_lesion_over_the_patch_is_cut_off():
    patch = lesion_patch(Volume(random_slices(1, 400, 400)), 0, (100, 150, 330, 300))

    assert patch.box_px == (0, 0, 175, 135)


def test_pixels_that_are_not_square_become_square():
    picture = ramps(100, 400)[1]

    patch = lesion_patch(Volume([picture], (0.5, 2.0, 0)), 0, (180, 40, 220, 60))

    assert patch.box_px == (50, 40, 70, 80)
    steps = patch.pixels[0, 0].diff() * 4095 / 255
    torch.testing.assert_close(steps, torch.full_like(steps, 2.0), rtol=0, atol=1e-3)


def test_large_pixels_are_enlarged_less_than_their_size():
    patch = lesion_patch(Volume([ramps(768, 768)[1]], (1.2, 1.2, 0)), 0, (300, 320, 350, 380))

    assert patch.box_px[2] - patch.box_px[0] == pytest.approx(50 * 800 / 768)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 10, 10, 20), "is empty"),
        ((10, 20, 15, 20), "is empty"),
        ((20, 10, 10, 20), "is empty"),
        ((10, 10, math.nan, 20), "four numbers"),
        ((10, 10, math.inf, 20), "four numbers"),
        ((10, 10, 20), "four numbers"),
        ((300, 10, 320, 20), "outside the picture, which is 60 pixels wide and 50 high"),
        ((10, 51, 20, 56), "outside the picture"),
        ((-40, 10, -10, 20), "outside the picture"),
    ],
)
def test_a_box_that_cannot_be_is_refused(box, message):
    with pytest.raises(InputError, match=message):
        lesion_patch(Volume(random_slices(1, 50, 60)), 0, box)


def test_a_box_may_reach_past_the_border_by_its_margin():
    lesion_patch(Volume(random_slices(1, 50, 60)), 0, (-4.5, 20, 64.5, 54.5))


@pytest.mark.parametrize("pixel", [0, -1, math.nan, math.inf, 1e-3, 80])
def test_a_pixel_size_that_cannot_be_is_refused(pixel):
    for spacing in ((pixel, 1.0, 5.0), (1.0, pixel, 5.0)):
        with pytest.raises(InputError, match="can't be right"):
            lesion_patch(Volume(random_slices(1, 50, 60), spacing), 0, (10, 10, 20, 20))
