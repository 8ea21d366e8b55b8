"""The lesion dataset: one row per lesion with its patch; its schema, its shards, its card.

    README.md               the card; its yaml lists the shards, so load_dataset(folder) works
    labels.json             class, ancestors and exclusions of each label, in the schema's order
    data/SPLIT-NNNNN-DIGEST.parquet
    rejected.jsonl          the lesions that could not be used: file, line, reason

The folder is written under another name and renamed at the end, so what can be read is whole.
A shard's name ends in a digest of its bytes: `load_dataset` recognises what it has in its cache by
the card and the last part of the folder's name, not by content (datasets 5.2).
A patch is stored as float16: around soft tissue its steps are 1 HU, where those of uint8 are 16.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml
from datasets import Array3D, ClassLabel, Features, List, Value
from datasets.info import DatasetInfo

from vision.errors import InputError

if TYPE_CHECKING:
    from pyarrow import Schema, Table

    from vision.images import Patch

SPLITS: Final = ("train", "validation", "test")
LISTS: Final = ("relevant", "uncertain", "irrelevant")
PATCH_SHAPE: Final = (3, 120, 120)
SHARD_ROWS: Final = 1000
_GROUP_ROWS: Final = 100  # `datasets` reads a row group at a time: 9 MB
_PATCH_LEAF: Final = "patch" + ".list.element" * len(PATCH_SHAPE)  # its name in Parquet


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesion:
    """A lesion, its place in an image, and what is said of it.

    `image_file` is relative to the folder of images; `file` and `line` say where the lesion was
    read. `spacing_mm` is (x, y, slice interval), and empty where the image knows it.
    """

    lesion_id: str
    patient_id: str
    split: str
    image_file: str
    slice_index: int
    box_px: tuple[float, ...]
    spacing_mm: tuple[float, ...] = ()
    relevant: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    irrelevant: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    file: str = ""
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A lesion that could not be used, where it was read, and why."""

    file: str
    line: int
    lesion_id: str
    reason: str


def lesion_features(label_names: Sequence[str]) -> Features:
    """The schema of a lesion dataset, which holds the label names and their order."""
    mined = mined_features(label_names)
    kept = ("lesion_id", "patient_id", "image_file", "slice_index", "box_px", "spacing_mm", *LISTS)
    return Features(
        {
            **{name: mined[name] for name in kept},
            "sentences": List(Value("string")),
            "patch": Array3D(shape=PATCH_SHAPE, dtype="float16"),
            "patch_box_px": List(Value("float32")),
        }
    )


def mined_features(label_names: Sequence[str]) -> Features:
    """The columns of a mined dataset that are read here; `tests/test_contract.py` checks them."""
    text, number, labels = Value("string"), Value("float32"), ClassLabel(names=list(label_names))
    return Features(
        {
            **dict.fromkeys(("lesion_id", "patient_id", "sentence", "image_file"), text),
            "slice_index": Value("int32"),
            **dict.fromkeys(("box_px", "spacing_mm"), List(number)),
            **dict.fromkeys(LISTS, List(labels)),
        }
    )


def label_names_of(features: Features) -> tuple[str, ...]:
    """The label names of a dataset of lesions or bookmarks, in their order.

    Raises:
        InputError: If the schema does not hold them.
    """
    labels = getattr(features.get("relevant"), "feature", None)
    if not isinstance(labels, ClassLabel):
        raise InputError(
            "The dataset's Parquet files do not name the labels: the schema was lost, as happens "
            "when other programs write them again. Take the files as lesionary wrote them."
        )
    return tuple(labels.names)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name in one step at the end, and vanishes on an error.

    Raises:
        InputError: If there is something under that name already, or it can't be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already. Remove it, or choose another --out.")
    whole = folder.absolute()  # "." alone has no name
    scratch = whole.with_name(f".{whole.name}.{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        if folder.exists():
            whole.rmdir()
        scratch.rename(whole)
    except OSError as error:
        raise InputError(f"Can't write the folder {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_lesions(
    rows: Iterable[tuple[Lesion, Patch]], folder: Path, label_space: Mapping[str, Any]
) -> dict[str, int]:
    """Write the shards, labels.json and, last, the card; return the lesions of each split.

    A split without rows gets no shard, since `datasets.load_dataset` refuses to load one.

    Args:
        rows: Lesions and their patches; held back until a shard is full.
        folder: An empty folder.
        label_space: The content of labels.json.
    """
    names = [label["name"] for label in label_space["labels"]]
    schema = lesion_features(names).arrow_schema
    counts: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    pending: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    files: dict[str, list[str]] = {split: [] for split in SPLITS}
    place = {name: i for i, name in enumerate(names)}

    def flush(split: str) -> None:
        table = _table(pending[split], schema)
        files[split].append(write_shard(table, folder, f"{split}-{len(files[split]):05}"))
        pending[split].clear()

    for lesion, patch in rows:
        pending[lesion.split].append(_cells(lesion, patch, place))
        counts[lesion.split] += 1
        if len(pending[lesion.split]) == SHARD_ROWS:
            flush(lesion.split)
    for split in SPLITS:
        if pending[split]:
            flush(split)
    (folder / "labels.json").write_text(dumped(label_space), encoding="utf-8")
    write_card(folder, counts, files, names)
    return dict(counts)


def write_rejected(rejected: Iterable[Rejected], folder: Path) -> None:
    """List lesions in rejected.jsonl; without any there is no file."""
    if lines := [json.dumps(asdict(record)) for record in rejected]:
        (folder / "rejected.jsonl").write_text("\n".join((*lines, "")), encoding="utf-8")


def shards_of(folder: Path) -> dict[str, list[Path]]:
    """The shards of each split that a dataset has, as its card lists them.

    Raises:
        InputError: If the folder holds no dataset.
    """
    try:
        card = (folder / "README.md").read_text(encoding="utf-8")
        files = yaml.safe_load(card.split("---\n")[1])["configs"][0]["data_files"]
        found = {entry["split"]: [folder / path for path in entry["path"]] for entry in files}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError) as error:
        raise InputError(
            f"{folder} is no dataset of ours: it has no README.md that lists data files. Give the "
            "folder that 'lesionary mine' or 'lesionary lesions' wrote."
        ) from error
    missing = [path for paths in found.values() for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]} is missing. Copy the dataset anew, or make it again.")
    return found


def _cells(lesion: Lesion, patch: Patch, place: Mapping[str, int]) -> dict[str, Any]:
    lists = {name: sorted(place[label] for label in getattr(lesion, name)) for name in LISTS}
    return {
        **{name: getattr(lesion, name) for name in ("lesion_id", "patient_id", "image_file")},
        **{name: getattr(lesion, name) for name in ("slice_index", "box_px", "spacing_mm")},
        **lists,
        "sentences": lesion.sentences,
        "patch": patch.pixels.half().numpy(),
        "patch_box_px": patch.box_px,
    }


def write_shard(table: Table, folder: Path, name: str) -> str:
    """Write the rows of a table into a dataset's folder; return the shard's path in it.

    Storing the two bytes of a float16 apart saves a fifth of the space.
    """
    from pyarrow import parquet

    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    scratch = data / f".{name}"
    parquet.write_table(
        table,
        scratch,
        compression="zstd",
        use_dictionary=False,  # Parquet applies no second encoding where this one is on
        use_byte_stream_split=[_PATCH_LEAF],
        row_group_size=_GROUP_ROWS,
    )
    with scratch.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    shard = f"{name}-{digest}.parquet"
    scratch.rename(data / shard)
    return f"data/{shard}"


def _table(rows: list[dict[str, Any]], schema: Schema) -> Table:
    import pyarrow as pa

    def column(name: str) -> pa.Array:
        field = schema.field(name)
        cells = [row[name] for row in rows]
        if name == "patch":
            return field.type.wrap_array(_nested(np.stack(cells)))
        return pa.array(cells, field.type)

    return pa.Table.from_arrays([column(name) for name in schema.names], schema=schema)


def _nested(pixels: np.ndarray[Any, Any]) -> Any:
    """An array of lists of lists of lists, which shares its values with `pixels`."""
    import pyarrow as pa

    values = pa.array(pixels.reshape(-1))
    for size in PATCH_SHAPE[::-1]:
        offsets = pa.array(np.arange(0, len(values) + 1, size, dtype=np.int32))
        values = pa.ListArray.from_arrays(offsets, values)
    return values


def dumped(label_space: Mapping[str, Any]) -> str:
    """The text of labels.json."""
    return json.dumps(label_space, indent=1, ensure_ascii=False) + "\n"


def write_card(
    folder: Path,
    counts: Mapping[str, int],
    files: Mapping[str, list[str]],
    names: Sequence[str],
) -> None:
    """Write the dataset card: yaml for `datasets`, then a few words for people.

    Args:
        folder: The dataset's.
        counts: Lesions of each split.
        files: Shards of each split, as `write_shard` returns them.
        names: The labels.
    """
    (folder / "README.md").write_text(_card(counts, files, names), encoding="utf-8")


def _card(counts: Mapping[str, int], files: Mapping[str, list[str]], names: Sequence[str]) -> str:
    data_files = [{"split": split, "path": paths} for split, paths in files.items() if paths]
    head = {
        "tags": ["radiology", "ct", "lesion"],
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": DatasetInfo(features=lesion_features(names))._to_yaml_dict(),
    }
    table = "\n".join(f"| {split} | {counts[split]:,} |" for split in SPLITS)
    return f"""---
{yaml.safe_dump(head, sort_keys=False)}---

# Lesions with their labels and image patches

One row is one lesion. `relevant`, `uncertain` and `irrelevant` hold the labels that sentences
mention, sorted by what they say of this lesion; ancestors are not added, `labels.json` has them,
and a label in none of the lists was not mentioned. `patch` is (3, 120, 120): slices 2 mm before, at
and 2 mm after the key slice, 1 mm a pixel, -1024 to 3071 HU mapped to 0 to 255. The lesion's box
is `patch_box_px` in the patch and `box_px` in the image: x0, y0, x1, y1, from the top left.
`spacing_mm` is x, y, slice interval.

**This folder may hold patient images and sentences of reports: treat it as you treat them.**

| split | lesions |
| --- | ---: |
{table}
"""
