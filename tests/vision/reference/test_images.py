import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vision.images import lesion_patch, normalise, three_slices, window_hu


class Volume:
    def __init__(self, slices, spacing_mm, first=0):
        self.slices, self.spacing_mm, self.first = slices, spacing_mm, first
        self.slice_indices = range(first, first + len(slices))

    def slice_hu(self, index):
        return self.slices[index - self.first]


@pytest.fixture
def arrays(numbers):
    """The arrays beside `slices.json`."""
    numbers("slices")
    return np.load(Path(os.environ["LESIONARY_REFERENCE_NUMBERS"]) / "slices.npz")


def volume(arrays, name, first, case):
    interval = case["slice_interval_mm"]
    spacing = (case["spacing_mm"],) * 2 + (math.nan if interval is None else interval,)
    return Volume(torch.from_numpy(arrays[name].astype(np.float32) - 32768), spacing, first)


def test_patches_lie_where_the_reference_cuts_them(numbers):
    for case in numbers("patch_geometry")["cases"]:
        if min(case["resized_hw"]) < 120:
            continue  # padded on one side only by the reference
        spacing = (case["spacing_mm"],) * 2 + (0.0,)
        height, width = case["image_hw"]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        for ramp, corners, centre in (
            (y, case["corner_y"], case["centre_yx"][0]),
            (x, case["corner_x"], case["centre_yx"][1]),
        ):
            patch = lesion_patch(Volume([ramp - 1024.0], spacing), 0, case["box_xyxy"])
            pixels = patch.pixels[0].double() * 4095 / 255
            found = [*pixels[[0, 0, -1, -1], [0, -1, 0, -1]].tolist(), pixels[60, 60].item()]
            # Indices of up to 767 as float32, through the window and back.
            assert found == pytest.approx([*corners, centre], abs=1e-4)
            assert patch.box_px == pytest.approx(case["center_box"], abs=1e-9)


def test_three_slices_are_those_of_the_reference(numbers, arrays):
    reference = numbers("slices")
    for case in reference["cases"]:
        image = volume(arrays, "volume_uint16", reference["first_slice_number"], case)

        hu = three_slices(image, case["key_slice"])

        expected = arrays[case["hu_array"]].transpose(2, 0, 1)
        np.testing.assert_allclose(hu, expected, rtol=0, atol=1 / 256)
        if case["spacing_mm"] == 1:
            expected = arrays[case["network_array"]].transpose(2, 0, 1)
            np.testing.assert_allclose(normalise(window_hu(hu)), expected, rtol=0, atol=1e-6)


def test_a_patch_is_that_of_the_reference(numbers, arrays):
    reference = numbers("slices")
    case = reference["pipeline"]
    image = volume(arrays, "pipeline_volume_uint16", reference["pipeline_first_slice_number"], case)

    patch = lesion_patch(image, case["key_slice"], case["box_xyxy"])

    expected = arrays["pipeline_patch"].transpose(2, 0, 1)
    np.testing.assert_allclose(normalise(patch.pixels), expected, rtol=0, atol=1e-6)
    assert patch.box_px == pytest.approx(case["center_box"])
