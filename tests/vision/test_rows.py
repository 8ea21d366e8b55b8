import json
from pathlib import Path

import pytest
import torch
from datasets import Features, Value, load_dataset
from pyarrow import parquet

from vision.errors import InputError
from vision.images import Patch
from vision.rows import (
    Lesion,
    Rejected,
    label_names_of,
    new_folder,
    shards_of,
    write_lesions,
    write_rejected,
)

SPACE = {
    "labels": [
        {"name": "lung", "class": "bodypart", "ancestors": [], "exclusives": []},
        {"name": "nodule", "class": "type", "ancestors": [], "exclusives": []},
    ]
}


def cut(number, split="train", **more):
    lesion = Lesion(
        lesion_id=f"a.png#{number}",
        patient_id="P1",
        split=split,
        image_file="a.png",
        slice_index=number,
        box_px=(1, 2, 3, 4),
        spacing_mm=(0.8, 0.8, 2),
        **more,
    )
    seed = torch.Generator().manual_seed(number)
    pixels = torch.rand(3, 120, 120, generator=seed) * 255
    return lesion, Patch(pixels=pixels, box_px=(50.5, 51, 70, 71))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "lesions"
    path.mkdir()
    return path


def test_load_dataset_gives_back_what_was_written(folder):
    lesion, patch = cut(
        1, relevant=("nodule", "lung"), uncertain=("lung",), sentences=("A nodule.",)
    )
    assert write_lesions([(lesion, patch)], folder, SPACE) == {
        "train": 1,
        "validation": 0,
        "test": 0,
    }
    dataset = load_dataset(str(folder))
    assert set(dataset) == {"train"}
    row = dataset["train"].with_format("torch")[0]
    assert label_names_of(dataset["train"].features) == ("lung", "nodule")
    assert (row["lesion_id"], row["patient_id"], row["slice_index"]) == ("a.png#1", "P1", 1)
    assert (row["relevant"].tolist(), row["uncertain"].tolist()) == ([0, 1], [0])
    assert row["sentences"] == ["A nodule."]
    assert row["patch_box_px"].tolist() == [50.5, 51, 70, 71]
    assert torch.equal(row["patch"].half(), patch.pixels.half())


def test_another_dataset_of_the_same_name_is_another(tmp_path):
    """`load_dataset` would take the first one from its cache, were the cards the same."""
    for number in (1, 2):
        folder = tmp_path / str(number) / "lesions"
        folder.mkdir(parents=True)
        write_lesions([cut(number)], folder, SPACE)
        assert load_dataset(str(folder), split="train")["lesion_id"][:] == [f"a.png#{number}"]


def test_a_schema_without_label_names_is_refused(folder):
    write_lesions([cut(1)], folder, SPACE)
    (shard,) = (folder / "data").iterdir()
    bare = parquet.read_table(shard, columns=["lesion_id", "relevant"])
    features = Features.from_arrow_schema(bare.replace_schema_metadata({}).schema)
    for found in (features, Features({"lesion_id": Value("string")})):
        with pytest.raises(InputError, match="do not name the labels"):
            label_names_of(found)


def test_the_current_folder_can_be_filled(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with new_folder(Path(".")) as new:
        (new / "a").touch()
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_soft_tissue_keeps_steps_of_one_hu(folder):
    lesion, patch = cut(1)
    hu = torch.arange(0, 43200).remainder(20).reshape(3, 120, 120).float()
    write_lesions(
        [(lesion, Patch(pixels=(hu + 1024) * 255 / 4095, box_px=patch.box_px))], folder, SPACE
    )
    stored = load_dataset(str(folder), split="train").with_format("torch")[0]["patch"]
    assert (stored.float() * 4095 / 255 - 1024 - hu).abs().max() <= 0.51


def test_every_split_has_its_own_shards_of_a_thousand(folder):
    few = [cut(i, "test") for i in range(3)]
    counts = write_lesions([*(cut(i) for i in range(1001)), *few], folder, SPACE)
    assert counts == {"train": 1001, "validation": 0, "test": 3}
    found = shards_of(folder)
    assert [path.name[:12] for path in found["train"]] == ["train-00000-", "train-00001-"]
    assert {path for paths in found.values() for path in paths} == set((folder / "data").iterdir())
    ids = parquet.read_table(found["train"], columns=["lesion_id"])["lesion_id"].to_pylist()
    assert ids == [f"a.png#{i}" for i in range(1001)]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_lesions([cut(1), cut(2, "test")], tmp_path / name, SPACE)
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) == 4
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def half_way():
        with new_folder(tmp_path / "out") as folder:
            (folder / "a.txt").write_text("a", encoding="utf-8")
            assert not (tmp_path / "out").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_way()
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a", encoding="utf-8")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a.txt"]


def test_an_existing_folder_is_not_written_over(tmp_path):
    (tmp_path / "a.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="exists already"), new_folder(tmp_path):
        pass
    with pytest.raises(InputError, match="exists already"), new_folder(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "mine"


def test_an_empty_folder_will_do(tmp_path):
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("a", encoding="utf-8")
    assert (tmp_path / "out" / "a.txt").exists()


def test_an_error_that_is_no_matter_of_the_folder_keeps_its_words(tmp_path):
    with pytest.raises(InputError, match=r"^image$"), new_folder(tmp_path / "out"):
        raise InputError("image")


@pytest.mark.parametrize("card", [None, "", "# Mine", "---\na: 1\n---\n", "---\n[\n---\n"])
def test_a_folder_without_our_card_is_one_clear_error(tmp_path, card):
    if card is not None:
        (tmp_path / "README.md").write_text(card, encoding="utf-8")
    with pytest.raises(InputError, match="is no dataset of ours"):
        shards_of(tmp_path)


def test_a_missing_shard_is_named(folder):
    write_lesions([cut(1)], folder, SPACE)
    next((folder / "data").iterdir()).unlink()
    with pytest.raises(InputError, match=r"train-00000-.*\.parquet is missing"):
        shards_of(folder)


def test_rejected_lesions_are_listed(tmp_path):
    write_rejected([], tmp_path)
    assert list(tmp_path.iterdir()) == []
    write_rejected(
        [Rejected(file="a.csv", line=3, lesion_id="x#0", reason="image missing")], tmp_path
    )
    (line,) = (tmp_path / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    expected = {"file": "a.csv", "line": 3, "lesion_id": "x#0", "reason": "image missing"}
    assert json.loads(line) == expected
