"""The dataset's rows, one per bookmark: their schema, how they are made, how they are written."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from datasets import ClassLabel, Features, List, Value

from nlp.errors import InputError
from nlp.labels import LabelLists, label_lists
from nlp.ontology import Ontology
from nlp.records import RELATIONS, Bookmark, Mention, Passage, Relation

SPLITS: Final = ("train", "validation", "test")
_ROWS_AT_A_TIME: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a lesion lies: `box_px` is (x0, y0, x1, y1), `spacing_mm` is (x, y, slice interval)."""

    image_file: str = ""
    slice_index: int | None = None
    box_px: tuple[float, ...] = ()
    spacing_mm: tuple[float, ...] = ()


_NOWHERE: Final = Place()


def features(label_names: Sequence[str]) -> Features:
    """The schema of a row, which holds the label names and their order."""
    labels = List(ClassLabel(names=list(label_names)))
    text, number, length = Value("string"), Value("int32"), Value("float32")
    bookmark = {
        "id": text,
        "kind": text,
        "start": number,
        "end": number,
        "text": text,
        "sizes_mm": List(length),
        "series": number,
        "images": List(number),
    }
    mention = {
        "term": text,
        "start": number,
        "end": number,
        "text": text,
        "rule": text,
        "relation": ClassLabel(names=list(RELATIONS)),
        "probabilities": List(length, length=len(RELATIONS)),
    }
    return Features(
        {
            **dict.fromkeys(("report_id", "patient_id", "study_id", "section", "sentence"), text),
            **dict.fromkeys(("sentence_start", "sentence_end"), number),
            "bookmark": bookmark,
            "other_bookmarks": List(bookmark),
            "mentions": List(mention),
            **dict.fromkeys(
                ("relevant", "uncertain", "irrelevant", "expanded", "negative"), labels
            ),
            "conflicts": List(text),
            **dict.fromkeys(("lesion_id", "image_file"), text),
            "slice_index": number,
            "box_px": List(length),
            "spacing_mm": List(length),
        }
    )


def rows_of(
    passage: Passage, ontology: Ontology, places: Mapping[str, Place]
) -> Iterator[dict[str, Any]]:
    """One row for each bookmark of this study; offsets point into the report."""
    report, sentence = passage.report, passage.sentence
    for bookmark in passage.current:
        relations = [r for r in passage.relations if r.bookmark == bookmark.id]
        lists = _fields(label_lists(relations, passage.mentions, ontology))
        conflicts = lists.pop("conflicts")
        lesion_id = passage.lesion_ids.get(bookmark.id, "")
        yield {
            "report_id": report.report_id,
            "patient_id": report.patient_id,
            "study_id": report.study_id,
            "section": sentence.section,
            "sentence": sentence.text,
            "sentence_start": sentence.start,
            "sentence_end": sentence.end,
            "bookmark": _bookmark(bookmark, report.text),
            "other_bookmarks": [
                _bookmark(b, report.text) for b in passage.bookmarks if b is not bookmark
            ],
            "mentions": [_mention(r, passage.mentions[r.mention], report.text) for r in relations],
            **{k: [ontology.label_index[name] for name in names] for k, names in lists.items()},
            "conflicts": conflicts,
            "lesion_id": lesion_id,
            **_fields(places.get(lesion_id, _NOWHERE)),
        }


def _bookmark(bookmark: Bookmark, text: str) -> dict[str, Any]:
    return {**_fields(bookmark), "text": text[bookmark.start : bookmark.end]}


def _mention(relation: Relation, mention: Mention, text: str) -> dict[str, Any]:
    return {
        **_fields(mention),
        "text": text[mention.start : mention.end],
        "relation": RELATIONS.index(relation.relation),
        "probabilities": relation.probabilities,
    }


def _fields(record: Bookmark | Mention | Place | LabelLists) -> dict[str, Any]:
    """A record's fields; `dataclasses.asdict` copies deeply, and this is called for every pair."""
    return {name: getattr(record, name) for name in record.__slots__}


def split_of(patient_id: str, given: Mapping[str, str] | None = None) -> str:
    """The split of a patient: the given one, or 80 / 10 / 10 by a hash that never changes."""
    if given and patient_id in given:
        return given[patient_id]
    digest = hashlib.blake2b(patient_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    percent = int.from_bytes(digest, "big") % 100
    return "train" if percent < 80 else "validation" if percent < 90 else "test"


def write_shards(
    rows: Iterable[dict[str, Any]],
    folder: Path,
    name: str,
    schema: Features,
    splits: Mapping[str, str],
) -> dict[str, int]:
    """Write one Parquet shard for each split that has rows; return the rows of each split.

    A shard appears under its name `SPLIT-NAME.parquet` only once it is complete. An empty split
    has no shard, since `datasets.load_dataset` refuses a split without rows.
    """
    from pyarrow import Table
    from pyarrow.parquet import ParquetWriter

    folder.mkdir(parents=True, exist_ok=True)
    arrow = schema.arrow_schema
    counts = dict.fromkeys(SPLITS, 0)
    pending: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    scratch = {split: folder / f".{split}-{name}.parquet.{os.getpid()}" for split in SPLITS}
    writers: dict[str, ParquetWriter] = {}
    with ExitStack() as stack:

        def flush(split: str) -> None:
            if split not in writers:
                writers[split] = stack.enter_context(ParquetWriter(scratch[split], arrow))
            writers[split].write_table(Table.from_pylist(pending[split], schema=arrow))
            pending[split].clear()

        for row in rows:
            split = split_of(row["patient_id"], splits)
            counts[split] += 1
            pending[split].append(row)
            if len(pending[split]) == _ROWS_AT_A_TIME:
                flush(split)
        for split in SPLITS:
            if pending[split]:
                flush(split)
    for split in writers:
        scratch[split].replace(folder / f"{split}-{name}.parquet")
    return counts


def shards(folder: Path, name: str, counts: Mapping[str, int]) -> dict[str, Path]:
    """The shards that `write_shards` made, by split, given the counts that it returned."""
    return {split: folder / f"{split}-{name}.parquet" for split in SPLITS if counts[split]}


def read_lesion_table(path: Path) -> dict[str, Place]:
    """Read where each lesion lies: a CSV with `lesion_id` and any of the fields of `Place`.

    `box_px` and `spacing_mm` are numbers joined with blanks or commas.

    Raises:
        InputError: If the file, the column `lesion_id` or a number can't be read.
    """
    places = {}
    for line, row in _read_table(path, "lesion_id"):
        try:
            places[row["lesion_id"]] = Place(
                image_file=row.get("image_file", ""),
                slice_index=int(row["slice_index"]) if row.get("slice_index") else None,
                box_px=_numbers(row.get("box_px", "")),
                spacing_mm=_numbers(row.get("spacing_mm", "")),
            )
        except ValueError:
            raise InputError(
                f"{path}, line {line}: slice_index, box_px and spacing_mm hold numbers only."
            ) from None
    return places


def read_split_table(path: Path) -> dict[str, str]:
    """Read a CSV with the columns `patient_id` and `split`.

    Raises:
        InputError: If a split has another name, or one patient is put into two.
    """
    splits: dict[str, str] = {}
    for line, row in _read_table(path, "patient_id"):
        split = row.get("split", "")
        if split not in SPLITS:
            raise InputError(f"{path}, line {line}: the split is one of {', '.join(SPLITS)}.")
        if splits.setdefault(row["patient_id"], split) != split:
            raise InputError(f"{path}, line {line}: this patient stands in another split already.")
    return splits


def _read_table(path: Path, key: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if key not in (reader.fieldnames or ()):
                raise InputError(f"{path} has no column '{key}'; it is a CSV with a header line.")
            for row in reader:
                yield reader.line_num, {k: v or "" for k, v in row.items() if k}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Can't read {path}: {error}.") from error


def _numbers(cell: str) -> tuple[float, ...]:
    return tuple(float(part) for part in cell.replace(",", " ").split())
