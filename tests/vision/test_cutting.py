from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from vision.cutting import cut_patches, find_image
from vision.errors import InputError
from vision.rows import Lesion, Rejected

LESION = Lesion(
    lesion_id="a#0",
    patient_id="P1",
    split="train",
    image_file="000001_01_01/005.png",
    slice_index=5,
    box_px=(80, 90, 120, 110),
    spacing_mm=(0.8, 0.8, 2),
    file="t.csv",
    line=7,
)


@pytest.fixture
def images(write_slices):
    return write_slices("000001_01_01", range(3, 8))


def reasons(lesions, images):
    found = list(cut_patches(lesions, images))
    assert all(isinstance(x, Rejected) for x in found)
    return [x.reason for x in found]


def test_a_patch_shows_the_three_slices(images):
    ((lesion, patch),) = cut_patches([LESION], images)
    assert (lesion.image_file, lesion.spacing_mm) == ("000001_01_01/005.png", (0.8, 0.8, 2))
    hu = patch.pixels[:, 60, 60] * 4095 / 255 - 1024
    assert hu.tolist() == pytest.approx([44, 45, 46], abs=1e-2)
    assert patch.box_px == pytest.approx((44, 52, 76, 68))


@pytest.mark.parametrize("said", ["000001_01_01/005.png", "000001_01_01_005.png"])
@pytest.mark.parametrize("name", ["{series}/{number:03}.png", "{series}_{number:03}.png"])
@pytest.mark.parametrize("inside", ["", "Images_png/"])
def test_a_slice_is_found_under_either_name(write_slices, said, name, inside):
    images = write_slices("000001_01_01", [5], name=inside + name)
    found = find_image(images, inside + said)
    number, series = 5, "000001_01_01"
    assert found == images / (inside + name.format(series=series, number=number))


def test_a_jpg_stands_in_for_a_png(tmp_path):
    (tmp_path / "000001_01_01_005.jpg").touch()
    assert find_image(tmp_path, "000001_01_01/005.png").suffix == ".jpg"


def test_what_can_not_be_cut_is_rejected_and_the_rest_goes_on(images):
    lesions = [
        replace(LESION, image_file="000002_01_01/005.png"),
        replace(LESION, image_file=str(images / "000001_01_01" / "005.png")),
        replace(LESION, box_px=(500, 500, 600, 600)),
        replace(LESION, box_px=(80, 90, 80, 110)),
        replace(LESION, spacing_mm=(0, 0, 2)),
        replace(LESION, spacing_mm=()),
        replace(LESION, slice_index=99),
        LESION,
    ]
    *bad, (lesion, _) = sorted(cut_patches(lesions, images), key=lambda x: isinstance(x, tuple))
    assert lesion.lesion_id == "a#0"
    assert all((x.file, x.line) == ("t.csv", 7) for x in bad)
    found = " ".join(x.reason for x in bad)
    for words in (
        "image missing",
        "to be relative",
        "outside",
        "empty",
        "pixel of 0 x 0",
        "Spacing_mm_px_",
        "99",
    ):
        assert words in found


def test_a_damaged_slice_rejects_its_lesion(images):
    path = images / "000001_01_01" / "005.png"
    path.write_bytes(path.read_bytes()[:200])
    (reason,) = reasons([LESION], images)
    assert "truncated or damaged" in reason


def test_a_volume_is_opened_once_and_knows_its_spacing(tmp_path, monkeypatch):
    volume = nib.Nifti1Image(np.zeros((200, 200, 5), np.int16), np.diag([-0.8, -0.8, 3, 1]))
    nib.save(volume, tmp_path / "ct.nii.gz")
    opened = []

    def open_image(path, **more):
        from vision.readers import open_image as really

        opened.append(path)
        return really(path, **more)

    monkeypatch.setattr("vision.cutting.open_image", open_image)
    lesions = [
        replace(LESION, image_file="ct.nii.gz", slice_index=i, spacing_mm=()) for i in range(5)
    ]
    found = list(cut_patches(lesions, tmp_path))
    assert len(opened) == 1
    assert [lesion.slice_index for lesion, _ in found] == [0, 1, 2, 3, 4]
    assert found[0][0].spacing_mm == pytest.approx((0.8, 0.8, 3))


def test_a_table_that_contradicts_the_image_is_told(tmp_path):
    volume = nib.Nifti1Image(np.zeros((200, 200, 5), np.int16), np.diag([-0.8, -0.8, 3, 1]))
    nib.save(volume, tmp_path / "ct.nii.gz")
    lesion = replace(LESION, image_file="ct.nii.gz", slice_index=2, spacing_mm=(0.5, 0.5, 3))
    (reason,) = reasons([lesion], tmp_path)
    assert "the table says pixels of 0.5 mm and the image 0.8 mm" in reason


def test_threads_change_nothing(images):
    lesions = [
        replace(LESION, lesion_id=f"a#{i}", slice_index=3 + i % 5, box_px=(60 + i, 90, 120, 110),
                spacing_mm=(0.8, 0.8, 1 + i % 3))
        for i in range(30)
    ]  # fmt: skip
    before = torch.get_num_threads()
    one, three = (list(cut_patches(lesions, images, workers=n)) for n in (1, 3))
    assert torch.get_num_threads() == before
    assert [a.lesion_id for a, _ in one] == [b.lesion_id for b, _ in three]
    assert all(torch.equal(a.pixels, b.pixels) for (_, a), (_, b) in zip(one, three, strict=True))


def test_a_missing_image_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="image missing"):
        find_image(tmp_path, "a.png")
