import gzip
import struct
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.uid import JPEG2000Lossless, RLELossless

from vision.errors import InputError
from vision.readers import READERS, open_image

SPACING_MM = (0.7, 0.8, 2.5)
ORIENTATIONS = [
    "".join(axes) for order in permutations(("LR", "AP", "IS")) for axes in product(*order)
]


def check_against(image, truth):
    """Every voxel stands where it should, head first."""
    assert image.spacing_mm == pytest.approx(SPACING_MM)
    assert len(image.slice_indices) == len(truth)
    for index, expected in zip(image.slice_indices, truth, strict=True):
        picture = image.slice_hu(index)
        assert picture.dtype == torch.float32
        assert picture.is_contiguous()
        np.testing.assert_array_equal(picture.numpy(), expected)


# --- PNG


@pytest.mark.parametrize("pattern", ["000001_01_01/{:03}.png", "flat/000001_01_01_{:03}.PNG"])
def test_a_png_brings_its_neighbours(write_png, truth, pattern):
    image = open_image(write_png(pattern), spacing_mm=SPACING_MM)

    assert image.slice_indices == [101, 102, 103, 104]
    assert image.key_slice == 102
    check_against(image, truth)


def test_a_folder_of_pngs_is_a_series(write_png, truth):
    image = open_image(write_png().parent, spacing_mm=SPACING_MM)

    assert image.key_slice is None
    check_against(image, truth)


def test_series_in_one_folder_stay_apart(write_png, truth):
    write_png("flat/000001_01_02_{:03}.png", first=50)
    key = write_png("flat/000001_01_01_{:03}.png")

    check_against(open_image(key, spacing_mm=SPACING_MM), truth)
    with pytest.raises(InputError, match="several series: give the file of the key slice"):
        open_image(key.parent, spacing_mm=SPACING_MM)


def test_slices_may_be_missing(write_png):
    key = write_png()
    key.with_name("103.png").unlink()

    image = open_image(key, spacing_mm=SPACING_MM)

    assert image.slice_indices == [101, 102, 104]
    with pytest.raises(InputError, match="has no slice 103"):
        image.slice_hu(103)


def test_a_png_without_a_number_stands_alone(write_png, tmp_path, truth):
    path = write_png().rename(tmp_path / "000001_01_01" / "lesion.png")

    image = open_image(path, spacing_mm=SPACING_MM)

    assert (image.slice_indices, image.key_slice) == ([0], 0)
    np.testing.assert_array_equal(image.slice_hu(0).numpy(), truth[1])


def test_a_png_needs_its_spacing(write_png):
    with pytest.raises(InputError, match="holds no spacing: give the width"):
        open_image(write_png())
    with pytest.raises(InputError, match="three numbers"):
        open_image(write_png(), spacing_mm=(0.8, 5))


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_png_of_8_bits_is_refused(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "7.png")

    with pytest.raises(InputError, match="not one of 16 bits"):
        open_image(tmp_path / "7.png", spacing_mm=SPACING_MM).slice_hu(7)


# --- JPG


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_windowed_jpg_is_read_back_into_hu(tmp_path, mode):
    grey = np.full((16, 24), 100, np.uint8)
    Image.fromarray(grey).convert(mode).save(tmp_path / "000001_01_01_103.jpg")

    image = open_image(tmp_path / "000001_01_01_103.jpg", spacing_mm=SPACING_MM)

    assert (image.slice_indices, image.key_slice) == ([103], 103)
    assert image.slice_hu(103).unique().item() == pytest.approx(100 / 255 * 4095 - 1024)


def test_a_colour_jpg_is_refused(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "1.jpg")

    with pytest.raises(InputError, match="colour picture"):
        open_image(tmp_path / "1.jpg", spacing_mm=SPACING_MM).slice_hu(1)


# --- NIfTI


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_a_nifti_is_turned_from_any_orientation(write_nifti, truth, axes):
    check_against(open_image(write_nifti(axes, "ct.nii")), truth)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64, ">i2"])
@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_a_nifti_may_store_any_kind_of_number(write_nifti, truth, name, dtype):
    check_against(open_image(write_nifti("LPS", name, dtype)), truth)


def test_a_nifti_may_be_scaled(write_nifti, truth):
    path = write_nifti(name="ct.nii")
    data = bytearray(path.read_bytes())
    data[112:120] = struct.pack("<ff", 0.5, -10)  # scl_slope, scl_inter
    path.write_bytes(data)

    check_against(open_image(path), truth * 0.5 - 10)


def test_slice_indices_of_a_nifti_are_those_stored(write_nifti, truth):
    image = open_image(write_nifti("RAS"))

    assert list(image.slice_indices) == [3, 2, 1, 0]
    stored = np.asarray(nib.load(image.path).dataobj)
    np.testing.assert_array_equal(
        image.slice_hu(3).numpy(), stored[::-1, ::-1, 3].T, "left and front were flipped"
    )


def test_an_oblique_nifti_takes_the_nearest_axes(write_nifti, truth):
    path = write_nifti("ASR")
    image = nib.load(path)
    turn = np.eye(4)
    c, s = np.cos(0.3), np.sin(0.3)
    turn[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, c, -s], [0, s, c]]
    nib.save(nib.Nifti1Image(image.dataobj, turn @ image.affine), path)

    check_against(open_image(path), truth)


def test_the_slices_of_a_tilted_gantry_are_no_farther_apart(tmp_path):
    affine = np.diag([-0.8, -0.7, 3, 1])
    affine[1, 2] = 1.5
    nib.save(nib.Nifti1Image(np.zeros((8, 9, 4), np.int16), affine), tmp_path / "ct.nii")
    assert open_image(tmp_path / "ct.nii").spacing_mm == pytest.approx((0.8, 0.7, 3))


def test_a_fourth_axis_of_one_is_dropped(write_nifti, truth):
    path = write_nifti()
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata()[..., None], image.affine), path)

    check_against(open_image(path), truth)


def test_unknown_voxels_are_air(write_nifti):
    path = write_nifti(dtype=np.float32)
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.full(image.shape, np.nan, np.float32), image.affine), path)

    assert open_image(path).slice_hu(0).unique().item() == -1024


@pytest.mark.parametrize(
    ("shape", "dtype", "affine", "message"),
    [
        ((4, 4, 4, 2), np.int16, np.eye(4), "holds several volumes"),
        ((4, 4, 4), np.complex64, np.eye(4), "holds no CT volume"),
        ((4, 4, 4), np.int16, None, "does not say how the patient lies"),
    ],
)
def test_a_nifti_that_is_no_ct_volume_is_refused(tmp_path, shape, dtype, affine, message):
    nib.save(nib.Nifti1Image(np.zeros(shape, dtype), affine), tmp_path / "ct.nii")

    with pytest.raises(InputError, match=message):
        open_image(tmp_path / "ct.nii")


def test_a_nifti_that_is_flat_in_space_is_refused(write_nifti):
    path = write_nifti(name="ct.nii")
    data = bytearray(path.read_bytes())
    data[280:296] = bytes(16)  # srow_x
    path.write_bytes(data)

    with pytest.raises(InputError, match="does not say how the patient lies"):
        open_image(path)


# --- DICOM


@pytest.mark.parametrize("turned", list(product((1, -1), repeat=2)))
@pytest.mark.parametrize("transposed", [False, True])
def test_an_axial_dicom_is_turned_from_any_direction(write_dicom, truth, turned, transposed):
    check_against(open_image(write_dicom(turned=turned, transposed=transposed)), truth)


@pytest.mark.parametrize("compression", [None, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("intercept", [0, -1024, -2000])
def test_a_dicom_may_be_compressed_and_signed(write_dicom, truth, compression, intercept):
    image = open_image(write_dicom(compression=compression, intercept=intercept))

    check_against(image, truth)


@pytest.mark.parametrize("numbers", [lambda k: k + 11, lambda k: 20 - k])
def test_slice_indices_of_a_dicom_are_its_instance_numbers(write_dicom, truth, numbers):
    image = open_image(write_dicom(numbers=numbers))

    assert image.slice_indices == [numbers(k) for k in range(4)]
    check_against(image, truth)


@pytest.mark.parametrize("numbers", [lambda k: None, lambda k: 1])
def test_without_instance_numbers_the_positions_count(write_dicom, truth, numbers):
    image = open_image(write_dicom(numbers=numbers))

    assert image.slice_indices == [0, 1, 2, 3]
    check_against(image, truth)


def test_a_dicom_file_stands_for_its_series(write_dicom, truth):
    folder = write_dicom()
    write_dicom()  # another series in the same folder
    (folder / "DICOMDIR.txt").write_text("no DICOM")
    file = min(folder.iterdir())

    image = open_image(file)

    check_against(image, truth)
    assert image.key_slice in image.slice_indices
    with pytest.raises(InputError, match=r"2 series: number 3 with 4 slices .* one of its files"):
        open_image(folder)


def test_empty_uids_and_other_files_do_not_matter(write_dicom, truth):
    def change(dataset, k):
        dataset.SeriesInstanceUID = dataset.SOPInstanceUID = ""

    folder = write_dicom(change=change)
    (folder / "notes").write_text("short")

    check_against(open_image(folder), truth)


def test_a_missing_dicom_slice_leaves_a_gap(write_dicom):
    def change(dataset, k):
        if k == 2:
            dataset.Modality = "SR"

    for numbers in (lambda k: k + 11, lambda k: None):
        image = open_image(write_dicom(f"{numbers(0)}", numbers=numbers, change=change))
        assert np.diff(image.slice_indices).tolist() == [1, 2]
        assert image.spacing_mm == pytest.approx(SPACING_MM)


def test_instance_numbers_at_odds_with_positions_need_the_file(write_dicom, truth):
    folder = write_dicom(numbers=lambda k: [4, 1, 3, 2][k])

    with pytest.raises(InputError, match="at odds with the slices' positions: give the file"):
        open_image(folder)
    image = open_image(min(folder.iterdir()))
    assert image.slice_indices == [0, 1, 2, 3]
    check_against(image, truth)


def test_a_tilted_gantry_is_measured_along_the_normal(write_dicom):
    def change(dataset, k):
        c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
        dataset.ImageOrientationPatient = [1, 0, 0, 0, c, s]
        dataset.ImagePositionPatient = [0, 0, -3 * k]

    image = open_image(write_dicom(change=change))

    assert image.spacing_mm[2] == pytest.approx(3 * np.cos(np.radians(20)))


def test_a_dicom_without_position_is_one_slice(write_dicom, truth):
    def change(dataset, k):
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
        if k:
            dataset.SeriesInstanceUID = f"1.2.{k}"

    folder = write_dicom(change=change)
    image = next(i for i in map(open_image, folder.iterdir()) if i.key_slice == 11)

    assert image.slice_indices == [11]
    assert np.isnan(image.spacing_mm[2])
    np.testing.assert_array_equal(image.slice_hu(11).numpy(), truth[0])


def refused_tags():
    def set_tag(name, value):
        return lambda dataset, k: setattr(dataset, name, value)

    return [
        (set_tag("Modality", "MR"), "holds no CT but the modality MR"),
        (set_tag("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]), "is not axial"),
        (set_tag("NumberOfFrames", 5), "several slices in one file"),
        (set_tag("ImagePositionPatient", [0, 0, 0]), "at the same position"),
        (set_tag("PixelSpacing", None), "holds no spacing"),
        (set_tag("PixelSpacing", [1, 1, 1]), "is damaged"),
    ]


@pytest.mark.parametrize(("change", "message"), refused_tags())
def test_a_dicom_that_is_no_axial_ct_is_refused(write_dicom, change, message):
    with pytest.raises(InputError, match=message):
        open_image(write_dicom(change=change))


def test_a_file_of_another_modality_is_refused(write_dicom):
    folder = write_dicom(change=lambda dataset, k: setattr(dataset, "Modality", "PT"))

    with pytest.raises(InputError, match="is no CT but of modality PT"):
        open_image(next(folder.iterdir()))


def test_uneven_distances_are_refused(write_dicom):
    def change(dataset, k):
        dataset.ImagePositionPatient = [0, 0, -[0, 2, 5, 7.9][k]]

    with pytest.raises(InputError, match="uneven distances"):
        open_image(write_dicom(numbers=lambda k: None, change=change))


# --- Any format


def test_every_reader_leaves_the_others_files_alone(write_png, write_nifti, write_dicom, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "1.jpg")
    png, nifti, series = write_png(), write_nifti(), write_dicom()
    files = {
        "png": [png, png.parent],
        "nifti": [nifti],
        "dicom": [series, next(series.iterdir())],
        "jpg": [tmp_path / "1.jpg"],
    }
    assert files.keys() == READERS.keys()
    for name, paths in files.items():
        for path in paths:
            assert [n for n, reader in READERS.items() if reader.recognises(path)] == [name]


def test_paths_without_an_image_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")

    for path, message in [
        (tmp_path / "empty", "is empty"),
        (tmp_path / "none.png", "There is no file or folder"),
        (tmp_path / "notes.txt", "Known formats: dicom, nifti, png, jpg"),
        (tmp_path, "Known formats"),
    ]:
        with pytest.raises(InputError, match=message):
            open_image(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["png", "ct.nii", "ct.nii.gz", "dicom"])
@pytest.mark.filterwarnings("default")
def test_a_truncated_file_is_named(write_png, write_nifti, write_dicom, kind, share):
    if kind == "png":
        path: Path = write_png()
    else:
        path = min(write_dicom().iterdir()) if kind == "dicom" else write_nifti(name=kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])

    with pytest.raises(InputError, match=r"truncated|damaged"):
        read_key_slice(path)


def read_key_slice(path):
    image = open_image(path, spacing_mm=SPACING_MM)
    return image.slice_hu(image.key_slice or 0)


def test_a_gzip_of_something_else_is_named(tmp_path):
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(b"no image" * 100))

    with pytest.raises(InputError, match="truncated or damaged"):
        open_image(tmp_path / "ct.nii.gz")
