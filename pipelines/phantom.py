"""Write phantom studies: slices in DeepLesion's format, its table, reports, and the truth."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vision.phantom import tables
from vision.phantom.body import Floats
from vision.phantom.cases import Case, make_cases
from vision.phantom.cases import PhantomConfig as PhantomConfig
from vision.phantom.reports import PhantomReport, write_report
from vision.readers.png import HU_OFFSET
from vision.rows import new_folder

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class PhantomResult:
    """What was written: lesions of each split, patients, slices, and lesions of each label."""

    folder: Path
    patients: int
    slices: int
    splits: dict[str, int]
    labels: dict[str, int]


def write_phantom(config: PhantomConfig, out: Path, say: Say = print) -> PhantomResult:
    """Draw phantom patients and write them into a new folder.

    The folder holds `Images_png/`, `DL_info.csv`, `reports.jsonl`, `lesions.csv`, `splits.csv`
    and `truth.csv`. Equal configs give equal bytes.

    Raises:
        InputError: If the folder exists; nothing is written then.
    """
    cases = list(make_cases(config))
    say(f"Drawing {config.lesions:,} lesions of {len(cases):,} patients into {out} ...")
    with new_folder(out) as folder:
        _write_tables(cases, folder)
        _write_reports(cases, folder / "reports.jsonl")
        for case in tqdm(cases, desc="Slices", unit="patient", disable=None, leave=False):
            _write_slices(case, folder / "Images_png" / case.series)
    findings = [finding for case in cases for finding in case.findings]
    return PhantomResult(
        folder=out, patients=len(cases), slices=sum(len(case.slices) for case in cases),
        splits=dict(Counter(case.split for case in cases for _ in case.findings)),
        labels=dict(Counter(name for f in findings for name in sorted(f.lesion.labels))),
    )  # fmt: skip


def _write_slices(case: Case, folder: Path) -> None:
    folder.mkdir(parents=True)
    for index in case.slices:
        _to_png(case.draw(index)).save(folder / f"{index:03d}.png", compress_level=1)


def _to_png(hu: Floats) -> Image.Image:
    return Image.fromarray((np.rint(hu) + HU_OFFSET).clip(0, 65535).astype(np.uint16))


def _write_tables(cases: Iterable[Case], folder: Path) -> None:
    cases = list(cases)
    for name, columns, rows_of in (
        ("DL_info", tables.DL_INFO_COLUMNS, tables.dl_info_rows),
        ("lesions", tables.LESION_COLUMNS, tables.lesion_rows),
        ("truth", tables.TRUTH_COLUMNS, tables.truth_rows),
        ("splits", ("patient_id", "split"), _split_rows),
    ):
        _write_csv(folder / f"{name}.csv", columns, (row for c in cases for row in rows_of(c)))


def _split_rows(case: Case) -> Iterator[dict[str, object]]:
    yield {"patient_id": case.patient_id, "split": case.split}


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_reports(cases: Iterable[Case], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for case in cases:
            file.write(json.dumps(_record(case, write_report(case))) + "\n")


def _record(case: Case, report: PhantomReport) -> dict[str, object]:
    return {
        "report_id": f"PHANTOM{case.patient_id}",
        "patient_id": case.patient_id,
        "study_id": f"{case.patient_id}_01",
        "text": report.text,
        "lesion_ids": [case.lesion_id(finding) for finding in report.findings],
    }
