"""A small CT whose every voxel differs, and writers for each image format."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING_MM = (0.7, 0.8, 2.5)


@pytest.fixture(scope="session")
def truth() -> np.ndarray:
    """HU from head to feet, front to back, the patient's right to left. Shape: (4, 32, 40)."""
    rng = np.random.default_rng(4)
    return rng.permutation(np.linspace(-1000, 3000, 4 * 32 * 40).astype(np.int16)).reshape(
        4, 32, 40
    )


@pytest.fixture
def write_png(tmp_path: Path, truth: np.ndarray) -> Callable[..., Path]:
    def write(pattern: str = "000001_01_01/{:03}.png", first: int = 101) -> Path:
        """Write the slices; return the path of the second."""
        for number, picture in enumerate(truth, first):
            path = tmp_path / pattern.format(number)
            path.parent.mkdir(exist_ok=True)
            Image.fromarray((picture.astype(np.int32) + 32768).astype(np.uint16)).save(path)
        return tmp_path / pattern.format(first + 1)

    return write


@pytest.fixture
def write_nifti(tmp_path: Path, truth: np.ndarray) -> Callable[..., Path]:
    def write(axes: str = "RAS", name: str = "ct.nii.gz", dtype: Any = np.int16) -> Path:
        """Write the volume, its axes running towards the three sides of the patient."""
        affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], -SPACING_MM[2], 1])
        stored = truth.transpose(2, 1, 0).astype(dtype)
        image = nib.Nifti1Image(stored, affine).as_reoriented(
            ornt_transform(axcodes2ornt("LPI"), axcodes2ornt(axes))
        )
        nib.save(image, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def write_dicom(tmp_path: Path, truth: np.ndarray) -> Callable[..., Path]:
    def write(folder: str = "series", **options: Any) -> Path:
        """Write one file for each slice; return the folder."""
        (tmp_path / folder).mkdir(exist_ok=True)
        series = generate_uid()
        for k in range(len(truth)):
            dataset = ct_slice(truth, k, series, **options)
            path = tmp_path / folder / f"{generate_uid()}"  # the order of the names says nothing
            dataset.save_as(path, enforce_file_format=True)
        return tmp_path / folder

    return write


def ct_slice(
    truth: np.ndarray,
    k: int,
    series: str,
    *,
    turned: tuple[int, int] = (1, 1),
    transposed: bool = False,
    intercept: int = -1024,
    compression: str | None = None,
    numbers: Callable[[int], int | None] = lambda k: k + 11,
    change: Callable[[Dataset, int], None] = lambda dataset, k: None,
) -> Dataset:
    """Slice k, stored with its rows and columns turned around, then transposed."""
    x_mm, y_mm, z_mm = SPACING_MM
    rows, columns = turned
    stored = (truth[k].astype(np.int32) - intercept)[::rows, ::columns]
    height, width = stored.shape
    corner = [0 if columns > 0 else (width - 1) * x_mm, 0 if rows > 0 else (height - 1) * y_mm]
    directions, pixel = ([columns, 0, 0], [0, rows, 0]), [y_mm, x_mm]
    if transposed:
        stored, directions, pixel = stored.T, directions[::-1], pixel[::-1]

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
    dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesNumber = "CT", series, 3
    dataset.InstanceNumber = numbers(k)
    dataset.ImagePositionPatient = [*corner, -k * z_mm]
    dataset.ImageOrientationPatient = [*directions[0], *directions[1]]
    dataset.PixelSpacing, dataset.SliceThickness = pixel, 5
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, intercept
    kind = np.int16 if intercept == 0 else np.uint16
    dataset.set_pixel_data(np.ascontiguousarray(stored.astype(kind)), "MONOCHROME2", 16)
    if compression:
        dataset.compress(compression, generate_instance_uid=False)
    change(dataset, k)
    return dataset


@pytest.fixture(scope="session")
def tiny() -> Any:
    """The module with the tiny network and dataset, which is a script too."""
    path = Path(__file__).with_name("tiny_training.py")
    spec = importlib.util.spec_from_file_location("tiny_training", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
