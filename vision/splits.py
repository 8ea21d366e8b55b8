"""Another split of a lesion dataset: whole patients, drawn at random, in the same proportions.

The mean of a score over some random splits, and its deviation, say more than one split does
(Yan et al. 2019, arXiv:1904.04661, table 3).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision.errors import InputError
from vision.labels import LabelSpace
from vision.rows import SHARD_ROWS, SPLITS, new_folder, shards_of, write_card, write_shard

if TYPE_CHECKING:
    from pyarrow import Table


def resplit_patients(
    lesions: Mapping[str, int], sizes: Mapping[str, int], *, seed: int
) -> dict[str, str]:
    """Deal patients to splits, so that each gets about as many lesions as `sizes` says.

    In random order, each patient goes where most lesions are missing. No split ends up with more
    than the largest patient's lesions too many.

    Args:
        lesions: How many lesions each patient has.
        sizes: How many lesions each split is to get; in all, as many as there are.
        seed: Equal seeds give equal splits, in whatever order the patients come.

    Returns:
        The split of each patient.

    Example:
        >>> resplit_patients({"a": 2, "b": 1, "c": 1}, {"train": 2, "test": 2}, seed=0)
        {'c': 'train', 'a': 'test', 'b': 'train'}
    """
    patients = sorted(lesions)
    missing = dict(sizes)
    found = {}
    for place in np.random.default_rng(seed).permutation(len(patients)):
        patient = patients[place]
        found[patient] = max(missing, key=lambda split: missing[split])
        missing[found[patient]] -= lesions[patient]
    return found


def write_resplit(dataset: Path, out: Path, *, seed: int) -> dict[str, int]:
    """Write a lesion dataset anew with its patients dealt to other splits.

    A shard is held in memory at a time, for each split. The same seed gives the same files.

    Args:
        dataset: A lesion dataset.
        out: The new dataset's folder.
        seed: Of the dealing.

    Returns:
        The lesions of each split.

    Raises:
        InputError: If the dataset can't be read, has too few patients for its splits, or the
            folder can't be written.
    """
    shards = shards_of(dataset)
    paths = [path for split in SPLITS for path in shards.get(split, ())]
    patients = {split: _patients(shards[split]) for split in SPLITS if split in shards}
    names = LabelSpace.from_json(dataset / "labels.json").names
    sizes: dict[str, int] = {split: counts.total() for split, counts in patients.items()}
    together = sum(patients.values(), Counter[str]())
    dealt = resplit_patients(together, sizes, seed=seed)
    if empty := sizes.keys() - dealt.values():
        raise InputError(
            f"{dataset} has {len(together)} patients, too few to deal them to {len(sizes)} splits "
            f"anew: nothing is left for {', '.join(sorted(empty))}."
        )
    with new_folder(out) as folder:
        files: dict[str, list[str]] = {split: [] for split in SPLITS}
        counts = Counter[str]()
        for split, table in _full_shards(paths, dealt):
            files[split].append(write_shard(table, folder, f"{split}-{len(files[split]):05}"))
            counts[split] += len(table)
        shutil.copy(dataset / "labels.json", folder / "labels.json")
        write_card(folder, counts, files, names)
    return {split: counts[split] for split in sizes}


def _patients(paths: Iterable[Path]) -> Counter[str]:
    """How many lesions each patient of some shards has."""
    found = Counter[str]()
    for path in paths:
        found.update(_read(path, ["patient_id"]).column("patient_id").to_pylist())
    return found


def _full_shards(paths: Iterable[Path], dealt: Mapping[str, str]) -> Iterator[tuple[str, Table]]:
    """The rows of each split, a shard's worth at a time."""
    import pyarrow as pa
    from pyarrow import compute

    pending: dict[str, Table] = {}
    for path in paths:
        table = _read(path)
        splits = pa.array([dealt[patient] for patient in table.column("patient_id").to_pylist()])
        for split in SPLITS:
            rows = table.filter(compute.equal(splits, split))
            parts = [pending[split], rows] if split in pending else [rows]
            pending[split] = pa.concat_tables(parts)
            if len(pending[split]) >= SHARD_ROWS:
                yield split, pending[split].slice(0, SHARD_ROWS)
                pending[split] = pending[split].slice(SHARD_ROWS)
    yield from ((split, table) for split, table in pending.items() if len(table))


def _read(path: Path, columns: list[str] | None = None) -> Table:
    from pyarrow import ArrowException, parquet

    try:
        return parquet.read_table(path, columns=columns)
    except (OSError, ArrowException) as error:
        raise InputError(
            f"{path} can't be read: {error}. Copy the dataset anew, or make it again."
        ) from error
