"""From the rows of a mined dataset, one per bookmark, to lesions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Features

from vision.errors import InputError
from vision.labels import check_label_names
from vision.rows import LISTS, Lesion, Rejected, label_names_of, mined_features, shards_of


@dataclass(frozen=True, kw_only=True, slots=True)
class MinedRow:
    """A row and where it stands; `labels` are the names of its three lists."""

    file: str
    line: int
    split: str
    cells: dict[str, Any]
    labels: tuple[tuple[str, ...], ...]


def read_mined_rows(folder: Path) -> tuple[tuple[str, ...], list[MinedRow]]:
    """Read a mined dataset's label names, and of its rows what a lesion needs.

    Raises:
        InputError: If the folder holds no mined dataset, or its shards differ in their labels.
    """
    names: tuple[str, ...] = ()
    rows: list[MinedRow] = []
    for split, shards in shards_of(folder).items():
        for shard in shards:
            found, cells = _read_shard(shard)
            if names:
                check_label_names(
                    found, names, what=str(shard), than="the shards before it", advice="Mine anew."
                )
            names = found
            rows.extend(_rows(shard, split, names, cells))
    if not rows:
        raise InputError(f"{folder} has no rows: no report in it had a bookmark.")
    return names, rows


def _read_shard(shard: Path) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    from pyarrow import ArrowException, parquet

    columns = list(mined_features([]))
    try:
        features = Features.from_arrow_schema(parquet.read_schema(shard))
        if missing := [name for name in columns if name not in features]:
            raise InputError(
                f"{shard} has no column {', '.join(missing)}, so it was not mined. Give the folder "
                "that 'lesionary mine' wrote."
            )
        return label_names_of(features), parquet.read_table(shard, columns=columns).to_pylist()
    except (OSError, ArrowException) as error:
        raise InputError(f"Can't read {shard}: {error}. Copy it anew.") from error


def _rows(
    shard: Path, split: str, names: Sequence[str], cells: Iterable[dict[str, Any]]
) -> Iterator[MinedRow]:
    for number, row in enumerate(cells, start=1):
        labels = tuple(tuple(names[i] for i in row[name]) for name in LISTS)
        yield MinedRow(file=str(shard), line=number, split=split, cells=row, labels=labels)


def merge_bookmarks(rows: Iterable[MinedRow], names: Sequence[str]) -> Iterator[Lesion | Rejected]:
    """One lesion from all bookmarks that point to it; a row without its place is rejected.

    A label is what the strongest of its mentions says: relevant, then uncertain, then irrelevant.
    """
    order = {name: i for i, name in enumerate(names)}
    of_lesion: dict[str, list[MinedRow]] = {}
    for row in rows:
        if reason := _lacks(row):
            yield _rejected(row, reason)
        else:
            of_lesion.setdefault(row.cells["lesion_id"], []).append(row)
    for group in of_lesion.values():
        if len({row.cells["patient_id"] for row in group}) > 1:
            yield from (
                _rejected(row, "its lesion_id belongs to several patients") for row in group
            )
        else:
            yield _merged(group, order)


def _lacks(row: MinedRow) -> str:
    cells = row.cells
    if not cells["lesion_id"]:
        return "it has no lesion_id"
    if not cells["image_file"]:
        return "its lesion has no image_file in the table given to --lesions"
    if cells["slice_index"] is None:
        return "its lesion has no slice_index"
    return "" if len(cells["box_px"]) == 4 else "its lesion has no box_px of four numbers"


def _merged(group: Sequence[MinedRow], order: dict[str, int]) -> Lesion:
    taken: set[str] = set()
    lists = []
    for which in range(len(LISTS)):
        said = {label for row in group for label in row.labels[which]} - taken
        lists.append(tuple(sorted(said, key=order.__getitem__)))
        taken |= said
    first = group[0]
    cells = first.cells
    return Lesion(
        lesion_id=cells["lesion_id"],
        patient_id=cells["patient_id"],
        split=first.split,
        image_file=cells["image_file"],
        slice_index=cells["slice_index"],
        box_px=tuple(cells["box_px"]),
        spacing_mm=tuple(cells["spacing_mm"]),
        relevant=lists[0],
        uncertain=lists[1],
        irrelevant=lists[2],
        sentences=tuple(dict.fromkeys(row.cells["sentence"] for row in group)),
        file=first.file,
        line=first.line,
    )


def _rejected(row: MinedRow, reason: str) -> Rejected:
    lesion_id = row.cells["lesion_id"]
    return Rejected(file=row.file, line=row.line, lesion_id=lesion_id, reason=reason)
