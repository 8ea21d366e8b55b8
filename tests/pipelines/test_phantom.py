"""Phantom studies on disk: formats, agreement of the tables, reproducibility."""

import csv
import json

import pytest
from click.testing import CliRunner

from flows.cli import main
from pipelines.phantom import PhantomConfig, write_phantom
from vision.errors import InputError
from vision.images import lesion_patch
from vision.readers import open_image

DL_INFO_HEADER = (
    "File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,"
    "Bounding_boxes,Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,"
    "Possibly_noisy,Slice_range,Spacing_mm_px_,Image_size,DICOM_windows,Patient_gender,"
    "Patient_age,Train_Val_Test"
)
CONFIG = PhantomConfig(lesions=14, size_px=128, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom") / "out"
    write_phantom(CONFIG, out, say=lambda _: None)
    return out


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_same_seed_same_bytes(folder, tmp_path):
    write_phantom(CONFIG, tmp_path / "again", say=lambda _: None)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    again = sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*.*"))
    assert files == [path for path in again if (tmp_path / "again" / path).is_file()]
    for path in files:
        assert (folder / path).read_bytes() == (tmp_path / "again" / path).read_bytes()


def test_another_seed_gives_other_lesions(folder, tmp_path):
    write_phantom(
        PhantomConfig(lesions=14, size_px=128, seed=4), tmp_path / "o", say=lambda _: None
    )
    assert (folder / "truth.csv").read_bytes() != (tmp_path / "o" / "truth.csv").read_bytes()


def test_dl_info_has_the_columns_and_forms_of_the_original(folder):
    with (folder / "DL_info.csv").open(encoding="utf-8") as file:
        assert file.readline().rstrip("\n") == DL_INFO_HEADER
    for row in table(folder / "DL_info.csv"):
        for column, count in (
            ("Measurement_coordinates", 8), ("Bounding_boxes", 4), ("Lesion_diameters_Pixel_", 2),
            ("Normalized_lesion_location", 3), ("Slice_range", 2), ("Spacing_mm_px_", 3),
            ("Image_size", 2), ("DICOM_windows", 2),
        ):  # fmt: skip
            assert len([float(x) for x in row[column].split(", ")]) == count
        first, last = map(int, row["Slice_range"].split(", "))
        assert first < int(row["Key_slice_index"]) < last
        assert row["Train_Val_Test"] in "123"


def test_boxes_of_the_two_tables_differ_by_one_pixel(folder):
    for row, lesion in zip(
        table(folder / "DL_info.csv"), table(folder / "lesions.csv"), strict=True
    ):
        one_based = [float(x) for x in row["Bounding_boxes"].split(", ")]
        zero_based = [float(x) for x in lesion["box_px"].split()]
        assert one_based == pytest.approx([x + 1 for x in zero_based], abs=2e-3)
        assert lesion["lesion_id"].split("#")[0] == row["File_name"]


def test_tables_and_reports_name_the_same_lesions(folder):
    reports = [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]
    named = [name for report in reports for name in report["lesion_ids"]]
    lesions = [row["lesion_id"] for row in table(folder / "lesions.csv")]
    assert (
        sorted(named)
        == sorted(lesions)
        == sorted(r["lesion_id"] for r in table(folder / "truth.csv"))
    )
    patients = {row["patient_id"] for row in table(folder / "splits.csv")}
    assert {report["patient_id"] for report in reports} == patients


def test_every_lesion_gives_a_patch(folder):
    for row in table(folder / "lesions.csv"):
        spacing = tuple(float(x) for x in row["spacing_mm"].split())
        image = open_image(folder / "Images_png" / row["image_file"], spacing_mm=spacing)
        box = tuple(float(x) for x in row["box_px"].split())
        patch = lesion_patch(image, int(row["slice_index"]), box)
        assert patch.pixels.shape == (3, 120, 120)
        assert (patch.pixels[0] != patch.pixels[2]).any()  # neighbours are there


def test_an_existing_folder_is_left_alone(folder):
    with pytest.raises(InputError, match="exists already"):
        write_phantom(CONFIG, folder, say=lambda _: None)


def test_the_command_tells_what_it_wrote(tmp_path):
    arguments = ["lesions", "phantom", "--out", str(tmp_path / "p"), "--lesions", "3", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert sum(told["splits"].values()) == 3
    assert (tmp_path / "p" / "reports.jsonl").exists()
