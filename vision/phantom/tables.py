"""The rows of the tables that come with phantom slices: DeepLesion's own, and ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from vision.phantom.cases import TOP_MM, Case, Finding

SPLIT_NUMBERS: Final = {"train": 1, "validation": 2, "test": 3}
DL_INFO_COLUMNS: Final = (
    *("File_name", "Patient_index", "Study_index", "Series_ID", "Key_slice_index"),
    *("Measurement_coordinates", "Bounding_boxes", "Lesion_diameters_Pixel_"),
    *("Normalized_lesion_location", "Coarse_lesion_type", "Possibly_noisy", "Slice_range"),
    *("Spacing_mm_px_", "Image_size", "DICOM_windows", "Patient_gender", "Patient_age"),
    "Train_Val_Test",
)
LESION_COLUMNS: Final = ("lesion_id", "image_file", "slice_index", "box_px", "spacing_mm")
TRUTH_COLUMNS: Final = ("lesion_id", "patient_id", "split", "site", "diameter_mm", "labels")
_LENGTH_MM: Final = 700.0  # from the top of the lungs to the thighs


def dl_info_rows(case: Case) -> Iterator[dict[str, object]]:
    """The rows of DL_info.csv: positions from 1, types only of validation and test lesions."""
    for finding in case.findings:
        lengths = [length / case.grid.spacing_mm for length in finding.lengths_mm]
        lung = finding.lesion.site.coarse_type == 5
        yield {
            "File_name": f"{case.series}_{finding.slice_index:03d}.png",
            "Patient_index": case.number,
            "Study_index": 1,
            "Series_ID": 1,
            "Key_slice_index": finding.slice_index,
            "Measurement_coordinates": _join(c + 1 for point in finding.points_px for c in point),
            "Bounding_boxes": _join(c + 1 for c in finding.box_px),
            "Lesion_diameters_Pixel_": _join(lengths),
            "Normalized_lesion_location": _join(_location(case, finding)),
            "Coarse_lesion_type": -1 if case.split == "train" else finding.lesion.site.coarse_type,
            "Possibly_noisy": 0,
            "Slice_range": _join(_slices_around(case, finding)),
            "Spacing_mm_px_": _join(case.spacing_mm),
            "Image_size": _join((case.grid.size_px, case.grid.size_px)),
            "DICOM_windows": "-1500, 500" if lung else "-175, 275",
            "Patient_gender": case.sex,
            "Patient_age": case.age,
            "Train_Val_Test": SPLIT_NUMBERS[case.split],
        }


def lesion_rows(case: Case) -> Iterator[dict[str, object]]:
    """The rows of lesions.csv: where each lesion lies, 0-based."""
    for finding in case.findings:
        yield {
            "lesion_id": case.lesion_id(finding),
            "image_file": f"{case.series}/{finding.slice_index:03d}.png",
            "slice_index": finding.slice_index,
            "box_px": " ".join(f"{c:.6g}" for c in finding.box_px),
            "spacing_mm": " ".join(f"{c:.6g}" for c in case.spacing_mm),
        }


def truth_rows(case: Case) -> Iterator[dict[str, object]]:
    """The rows of truth.csv: every label that the drawing makes true, ancestors not added."""
    for finding in case.findings:
        yield {
            "lesion_id": case.lesion_id(finding),
            "patient_id": case.patient_id,
            "split": case.split,
            "site": finding.lesion.site.name,
            "diameter_mm": f"{finding.lengths_mm[0]:.1f}",
            "labels": " | ".join(sorted(finding.lesion.labels)),
        }


def _join(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)


def _location(case: Case, finding: Finding) -> tuple[float, float, float]:
    x, y = np.mean(finding.points_px, axis=0) / case.grid.size_px
    return float(x), float(y), (case.z_mm(finding.slice_index) - TOP_MM) / _LENGTH_MM


def _slices_around(case: Case, finding: Finding) -> tuple[int, int]:
    """The first and last of the slices without a gap around the key slice."""
    present = set(case.slices)
    first = last = finding.slice_index
    while first - 1 in present:
        first -= 1
    while last + 1 in present:
        last += 1
    return first, last
