"""Patients dealt to other splits: whole, in proportion, and again the same."""

import json

import numpy as np
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st

from vision.data import LesionDataset
from vision.errors import InputError
from vision.rows import SPLITS
from vision.splits import resplit_patients, write_resplit

patients = st.dictionaries(st.text(max_size=3), st.integers(1, 9), min_size=1, max_size=30)


@given(patients, st.lists(st.floats(0.05, 1), min_size=3, max_size=3), st.integers(0, 99))
def test_each_split_gets_its_share(lesions, weights, seed):
    total = sum(lesions.values())
    edges = np.rint(np.cumsum([0, *weights]) / sum(weights) * total).astype(int)
    sizes = dict(zip(SPLITS, np.diff(edges).tolist(), strict=True))
    found = resplit_patients(lesions, sizes, seed=seed)
    assert found.keys() == lesions.keys()
    largest = max(lesions.values())
    for split, size in sizes.items():
        got = sum(n for patient, n in lesions.items() if found[patient] == split)
        assert got < size + largest


def test_the_seed_decides_and_not_the_order():
    lesions = {f"p{i}": 1 + i % 3 for i in range(40)}
    sizes = {"train": 60, "test": 19}
    found = resplit_patients(lesions, sizes, seed=1)
    assert found == resplit_patients(dict(reversed(lesions.items())), sizes, seed=1)
    assert found != resplit_patients(lesions, sizes, seed=2)


def rows_of(folder):
    parts = {split: LesionDataset(folder, split) for split in SPLITS}
    return {
        lesion: (split, data.patient_ids[i], data[i]["pixel_values"].sum().item())
        for split, data in parts.items()
        for i, lesion in enumerate(data.lesion_ids)
    }


def test_lesions_move_with_all_that_is_known_of_them(lesion_dataset, tmp_path):
    counts = write_resplit(lesion_dataset, tmp_path / "a", seed=3)
    before, after = rows_of(lesion_dataset), rows_of(tmp_path / "a")
    assert sum(counts.values()) == 16
    assert {k: v[1:] for k, v in before.items()} == {k: v[1:] for k, v in after.items()}
    assert {k: v[0] for k, v in before.items()} != {k: v[0] for k, v in after.items()}
    splits = {}
    for split, patient, _ in after.values():
        splits.setdefault(patient, set()).add(split)
    assert {len(found) for found in splits.values()} == {1}
    old = load_dataset("parquet", data_files=str(lesion_dataset / "data/*"), split="train")
    new = load_dataset("parquet", data_files=str(tmp_path / "a/data/*"), split="train")
    assert old.features == new.features
    assert sorted(map(repr, old["sentences"])) == sorted(map(repr, new["sentences"]))
    assert json.loads((tmp_path / "a/labels.json").read_text()) == json.loads(
        (lesion_dataset / "labels.json").read_text()
    )


def test_equal_seeds_give_equal_files(lesion_dataset, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_resplit(lesion_dataset, tmp_path / name, seed=seed)
    files = {n: sorted(p.name for p in (tmp_path / n / "data").iterdir()) for n in "abc"}
    assert files["a"] == files["b"] != files["c"]  # a name ends in a digest of the content


def test_shards_stay_small(lesion_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("vision.splits.SHARD_ROWS", 3)
    counts = write_resplit(lesion_dataset, tmp_path / "a", seed=3)
    names = [path.name for path in (tmp_path / "a" / "data").iterdir()]
    for split, count in counts.items():
        assert sum(name.startswith(split) for name in names) == -(-count // 3)
    assert len(rows_of(tmp_path / "a")) == 16


def test_too_few_patients_are_told(import_phantom, tmp_path):
    rows = [(row, ["lung"], [], []) for row in range(2)]
    dataset = import_phantom(tmp_path / "few", train=rows[:1], val=rows[1:])
    with pytest.raises(InputError, match="has 1 patients, too few to deal them to 2 splits"):
        write_resplit(dataset, tmp_path / "a", seed=0)
    assert not (tmp_path / "a").exists()
