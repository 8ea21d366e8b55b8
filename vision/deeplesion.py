"""DeepLesion's lesion table, and the labels that LesaNet's authors mined for it.

`DL_info.csv` (Yan et al. 2018, J. Med. Imaging 5(3)) has one row per lesion. The published label
file counts these rows from 0, so the table is read in its own order and never sorted. A part of
the table can be used with labels if a column `lesion_idx` holds each row's number.

Known faults of the label file, and what is done: a list repeats labels (taken once); a label is
both relevant and irrelevant (the former wins) or relevant and uncertain (kept as given, since what
lies above an uncertain label is ignored in training; there, relevant wins); ancestors are missing
(training adds them); a patient stands in two splits (told, and kept unless asked otherwise).
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from vision.errors import InputError
from vision.rows import LISTS, SPLITS, Lesion, Rejected

Item = Lesion | Rejected
OFFICIAL_SPLITS: Final = {"1": "train", "2": "validation", "3": "test"}
_PUBLISHED_SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}
_COLUMNS: Final = (
    *("File_name", "Patient_index", "Key_slice_index", "Bounding_boxes", "Spacing_mm_px_"),
    *("Possibly_noisy", "Train_Val_Test"),
)
_SURELY_UNSORTED: Final = 1000  # DeepLesion has rows out of alphabetical order among its first 50


@dataclass(frozen=True, kw_only=True, slots=True)
class DlRow:
    """A row of DL_info.csv; `number` is what the labels call it, `line` its place in the file.

    Where the column lesion_idx is empty, there is no number, and so there are no labels.
    """

    number: int | None
    line: int
    file_name: str
    patient: int
    noisy: bool
    cells: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLabels:
    """What the label file says of one row: its split and three lists of label names."""

    split: str
    relevant: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    irrelevant: tuple[str, ...] = ()


def read_dl_info(path: Path) -> list[DlRow]:
    """Read DL_info.csv in its order.

    Raises:
        InputError: If the file can't be read, lacks a column, or numbers a row twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                raise InputError(
                    f"{path} has no column {', '.join(missing)}. Give DeepLesion's DL_info.csv."
                )
            rows = [_row(path, i, reader.line_num, cells) for i, cells in enumerate(reader)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Can't read {path}: {error}.") from error
    numbers = Counter(row.number for row in rows if row.number is not None)
    if twice := [number for number, count in numbers.items() if count > 1]:
        raise InputError(f"{path} has the lesion_idx {twice[0]} in several rows; correct them.")
    return rows


def _row(path: Path, position: int, line: int, cells: dict[str, str]) -> DlRow:
    number = cells.get("lesion_idx", str(position))
    try:
        return DlRow(
            number=int(number) if number else None,
            line=line,
            file_name=cells["File_name"].strip(),
            patient=int(cells["Patient_index"]),
            noisy=int(cells["Possibly_noisy"]) == 1,
            cells=cells,
        )
    except (TypeError, ValueError):
        raise InputError(
            f"{path}, line {line}: Patient_index, Possibly_noisy and lesion_idx are whole numbers."
        ) from None


def read_published_labels(path: Path) -> tuple[tuple[str, ...], dict[int, PublishedLabels]]:
    """Read `text_mined_labels_171_and_split.json`: label names, and the labels of each row number.

    Raises:
        InputError: If the file can't be read or contradicts itself.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(content["term_list"])
        labels: dict[int, PublishedLabels] = {}
        for prefix, split in _PUBLISHED_SPLITS.items():
            for number, found in _labels_of(content, prefix, split, names):
                if number in labels:
                    raise InputError(f"{path} names the lesion {number} twice; it can't be used.")
                labels[number] = found
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"Can't read {path}: {error}.") from error
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is not the published label file: it has term_list and, for train, val and "
            "test, lesion_idxs, relevant_labels and uncertain_labels of one length."
        ) from error
    return names, labels


def _labels_of(
    content: Mapping[str, Any], prefix: str, split: str, names: Sequence[str]
) -> Iterator[tuple[int, PublishedLabels]]:
    numbers = content[f"{prefix}_lesion_idxs"]
    relevant, uncertain = (content[f"{prefix}_{k}_labels"] for k in ("relevant", "uncertain"))
    irrelevant = content.get(f"{prefix}_irrelevant_labels", [[]] * len(numbers))
    for number, *lists in zip(numbers, relevant, uncertain, irrelevant, strict=True):
        said, doubted, other = (set(indices) for indices in lists)
        if not all(0 <= i < len(names) for i in said | doubted | other):
            raise IndexError
        kept = (said, doubted, other - said - doubted)
        named = dict(zip(LISTS, (tuple(names[i] for i in sorted(k)) for k in kept), strict=True))
        yield int(number), PublishedLabels(split=split, **named)


def check_numbering(rows: Sequence[DlRow], labels: Iterable[int], path: Path) -> None:
    """Refuse a table whose rows can't be those that the labels count.

    Raises:
        InputError: If rows are missing or were sorted.
    """
    numbered = any("lesion_idx" in row.cells for row in rows)
    problem = "" if numbered else _fault_of_order(rows, max(labels, default=-1))
    if problem:
        raise InputError(
            f"{path} {problem}. The labels count the rows of the original DL_info.csv: give that "
            "file as published, or add a column lesion_idx with each row's number in it."
        )


def _fault_of_order(rows: Sequence[DlRow], last: int) -> str:
    if last >= len(rows):
        return f"has {len(rows):,} rows, but there are labels for row {last:,}"
    if any(a.patient > b.patient for a, b in pairwise(rows)):
        return "is not in the order of its patients, so it was sorted"
    if len(rows) >= _SURELY_UNSORTED and all(a.file_name <= b.file_name for a, b in pairwise(rows)):
        return "is in alphabetical order, which the original is not, so it was sorted"
    return ""


def lesions_of(
    rows: Iterable[DlRow], labels: Mapping[int, PublishedLabels] | None, path: Path
) -> Iterator[Item]:
    """The lesions to import, in the table's order, and those that can't be.

    With labels: those that have some, in the published splits. Without: all, in DeepLesion's.
    Noisy rows are left out. A lesion's id is its slice's name and its place among the rows of that
    slice: `000089_01_01_037.png#0`.
    """
    on_slice: Counter[str] = Counter()
    for row in rows:
        lesion_id = f"{row.file_name}#{on_slice[row.file_name]}"
        on_slice[row.file_name] += 1
        found = labels.get(row.number) if labels and row.number is not None else None
        if row.noisy or (labels is not None and found is None):
            continue
        try:
            yield _lesion(row, lesion_id, found, path)
        except (KeyError, ValueError):
            yield Rejected(
                file=str(path),
                line=row.line,
                lesion_id=lesion_id,
                reason="File_name, Key_slice_index, Bounding_boxes (4 numbers), Spacing_mm_px_ "
                "(3) or Train_Val_Test (1 to 3) can't be read",
            )


def _lesion(row: DlRow, lesion_id: str, labels: PublishedLabels | None, path: Path) -> Lesion:
    series, _, slice_name = row.file_name.rpartition("_")
    x0, y0, x1, y1 = (value - 1 for value in _numbers(row.cells["Bounding_boxes"]))
    x, y, interval = _numbers(row.cells["Spacing_mm_px_"])
    found = labels or PublishedLabels(split=OFFICIAL_SPLITS[row.cells["Train_Val_Test"].strip()])
    return Lesion(
        lesion_id=lesion_id,
        patient_id=f"{row.patient:06}",
        split=found.split,
        image_file=f"{series}/{slice_name}",
        slice_index=int(row.cells["Key_slice_index"]),
        box_px=(x0, y0, x1, y1),
        spacing_mm=(x, y, interval),
        relevant=found.relevant,
        uncertain=found.uncertain,
        irrelevant=found.irrelevant,
        file=str(path),
        line=row.line,
    )


def _numbers(cell: str) -> list[float]:
    return [float(part) for part in cell.split(",")]


def patients_in_several_splits(lesions: Iterable[Lesion]) -> dict[str, Counter[str]]:
    """The patients that are not in one split only, with their lesions in each."""
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    for lesion in lesions:
        splits[lesion.patient_id][lesion.split] += 1
    return {patient: counts for patient, counts in splits.items() if len(counts) > 1}


def keep_patients_together(lesions: Iterable[Item]) -> list[Item]:
    """Put each patient's lesions into the split that has most of them, the first if there is a tie.

    Example:
        >>> place = {"image_file": "a.png", "slice_index": 1, "box_px": (0, 0, 9, 9)}
        >>> lesions = [
        ...     Lesion(lesion_id=str(i), patient_id="1290", split=split, **place)
        ...     for i, split in enumerate(["train", "validation", "validation"])
        ... ]
        >>> [lesion.split for lesion in keep_patients_together(lesions)]
        ['validation', 'validation', 'validation']
    """
    lesions = list(lesions)
    torn = patients_in_several_splits(x for x in lesions if isinstance(x, Lesion))
    most = {patient: max(SPLITS, key=counts.__getitem__) for patient, counts in torn.items()}
    return [
        replace(lesion, split=most.get(lesion.patient_id, lesion.split))
        if isinstance(lesion, Lesion)
        else lesion
        for lesion in lesions
    ]
