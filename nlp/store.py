"""The dataset's folder: shards, manifest, card and the index of the reports mined.

    README.md               the card; its yaml lists the shards, so load_dataset(folder) works
    labels.json             class, ancestors and exclusions of each label, for those who train
    manifest.json           what was mined: batches, recipe, counts
    data/SPLIT-BATCH.parquet
    index/BATCH.parquet     digests of the reports of a batch, so that none is mined twice
    rejected.jsonl          the records that could not be used: file, line, reason

A batch belongs to the dataset once the manifest names it. The card is derived from the manifest,
labels.json from the ontology, and each is replaced in one step, so a run killed at any moment
leaves the dataset as it was before or after a batch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml
from datasets.info import DatasetInfo

from nlp.errors import InputError
from nlp.ontology import Ontology
from nlp.records import Rejected
from nlp.rows import SPLITS, features, shards

FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A mined batch: its digest, rows of each split, counts, and the recipe that made it."""

    digest: str
    rows: dict[str, int]
    counts: dict[str, int]
    labels: dict[str, int] = field(default_factory=dict)
    recipe: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a dataset holds, and what made it."""

    labels: tuple[str, ...] = ()
    batches: tuple[Batch, ...] = ()

    @property
    def recipe(self) -> dict[str, str]:
        """What the newest batch was made with: versions, and digests of model and tables."""
        return self.batches[-1].recipe if self.batches else {}

    @property
    def counts(self) -> Counter[str]:
        """The counts of all batches together."""
        total: Counter[str] = Counter()
        for batch in self.batches:
            total.update(batch.counts)
        return total


def shards_of(data: Path, manifest: Manifest) -> dict[str, list[Path]]:
    """The shards of each split, in the order of the batches."""
    found: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for batch in manifest.batches:
        for split, path in shards(data, batch.digest, batch.rows).items():
            found[split].append(path)
    return found


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset, or an empty one where there is none yet.

    Raises:
        InputError: If the folder holds something else, or a manifest that can't be read.
    """
    path = folder / "manifest.json"
    if not path.exists():
        if folder.is_file() or (folder / "README.md").exists():
            raise InputError(
                f"{folder} is no dataset of ours: it has no manifest.json. Choose another --out."
            )
        return Manifest()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        batches = tuple(Batch(**batch) for batch in content["batches"])
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        return Manifest(
            labels=tuple(content["labels"]),
            batches=batches,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} can't be read ({error}). Restore it from a copy, or choose another --out."
        ) from error


def write_manifest(folder: Path, manifest: Manifest, ontology: Ontology) -> None:
    """Replace the manifest, then labels.json and the card; each is whole at any moment."""
    content = {"format": FORMAT, **asdict(manifest)}
    replace_file(folder / "manifest.json", json.dumps(content, indent=1) + "\n")
    write_card(folder, manifest, ontology)


def write_card(folder: Path, manifest: Manifest, ontology: Ontology) -> None:
    """Write labels.json and README.md anew if they differ from what they should say."""
    labels = json.dumps(label_space(ontology), indent=1, ensure_ascii=False) + "\n"
    for path, content in (
        (folder / "labels.json", labels),
        (folder / "README.md", _card(manifest)),
    ):
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            replace_file(path, content)


def label_space(ontology: Ontology) -> dict[str, Any]:
    """The content of labels.json: for each label, in order, all above it and all it excludes."""
    place = ontology.label_index.__getitem__
    return {
        "labels": [
            {
                "name": name,
                "class": ontology[name].kind,
                "ancestors": sorted(ontology.ancestors[name], key=place),
                "exclusives": sorted(ontology.exclusions[name], key=place),
            }
            for name in ontology.labels
        ]
    }


def replace_file(path: Path, content: str) -> None:
    """Write a file so that readers see the old one or the new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def digest_of(*parts: str) -> bytes:
    """An 8-byte digest of texts; equal texts in equal order give equal digests."""
    hasher = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        hasher.update(len(data).to_bytes(8, "big") + data)
    return hasher.digest()


def read_index(folder: Path, manifest: Manifest) -> dict[bytes, bytes]:
    """Digests of the ids of all mined reports, and of their contents."""
    from pyarrow import parquet

    seen: dict[bytes, bytes] = {}
    for batch in manifest.batches:
        table = parquet.read_table(folder / "index" / f"{batch.digest}.parquet")
        seen.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return seen


def write_index(folder: Path, digest: str, entries: Mapping[bytes, bytes]) -> None:
    """Note the reports of a batch."""
    import pyarrow as pa
    from pyarrow import parquet

    (folder / "index").mkdir(parents=True, exist_ok=True)
    table = pa.table({"report": list(entries), "content": list(entries.values())})
    scratch = folder / "index" / f".{digest}.{os.getpid()}"
    parquet.write_table(table, scratch)
    scratch.replace(folder / "index" / f"{digest}.parquet")


def add_rejected(folder: Path, rejected: Iterable[Rejected]) -> int:
    """Add records to rejected.jsonl, each only once; return how many there were."""
    path = folder / "rejected.jsonl"
    lines = [json.dumps(asdict(record)) for record in rejected]
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    after = list(dict.fromkeys((*before, *lines)))
    if after != before:
        replace_file(path, "".join(f"{line}\n" for line in after))
    return len(lines)


@lru_cache(maxsize=4)
def _schema_yaml(labels: tuple[str, ...]) -> str:
    """The schema for the card; with hundreds of label names, yaml takes its time."""
    info = DatasetInfo(features=features(labels))._to_yaml_dict()
    return str(yaml.safe_dump({"dataset_info": info}, sort_keys=False))


def _card(manifest: Manifest) -> str:
    """The dataset card: yaml for `datasets`, then a few words for people."""
    files = [
        {"split": split, "path": [f"data/{path.name}" for path in paths]}
        for split, paths in shards_of(Path("data"), manifest).items()
        if paths
    ]
    head = yaml.safe_dump(
        {
            "tags": ["radiology", "ct", "lesion", "weak-labels"],
            "configs": [{"config_name": "default", "data_files": files}],
        },
        sort_keys=False,
    )
    rows = " / ".join(f"{sum(b.rows[split] for b in manifest.batches):,}" for split in SPLITS)
    table = "\n".join(f"| {name} | {count:,} |" for name, count in manifest.counts.items())
    recipe = "\n".join(f"| {name} | {value} |" for name, value in manifest.recipe.items())
    return f"""---
{head}{_schema_yaml(manifest.labels)}---

# Lesion labels mined from radiology reports

One row is one bookmark: a hyperlink, size or slice reference that a report's sentence gives to a
lesion. `relevant`, `uncertain` and `irrelevant` hold the labels that the sentence mentions, sorted
by what it says of this lesion; `expanded` adds the ancestors of the relevant ones; `negative` holds
the labels that exclude one of those. A label in none of the lists was not mentioned. Offsets count
code points of the original report, half-open. Made by `lesionary mine`: labels by machine, with
errors.

**This folder quotes patient reports: treat it as you treat them.**

| | |
| --- | ---: |
{table}
| rows in {" / ".join(SPLITS)} | {rows} |

| recipe of the newest batch | |
| --- | --- |
{recipe}
"""
