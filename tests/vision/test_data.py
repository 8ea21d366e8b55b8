import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vision.data import LesionDataset, load_batches
from vision.errors import InputError
from vision.images import Patch, normalise
from vision.rows import Lesion, dumped, write_lesions

SPACE = {
    "labels": [
        {"name": "lung", "class": "bodypart", "ancestors": [], "exclusives": []},
        {"name": "nodule", "class": "type", "ancestors": ["lung"], "exclusives": ["mass"]},
        {"name": "mass", "class": "type", "ancestors": [], "exclusives": ["nodule"]},
    ]
}
NUMBER = 230  # more than two row groups, so that there are several Arrow chunks


def pixels_of(number):
    return torch.full((3, 120, 120), number % 250 + 0.25)


def cuts():
    for number in range(NUMBER):
        lesion = Lesion(
            lesion_id=f"a#{number}",
            patient_id=f"P{number // 2}",
            split="train",
            image_file="a.png",
            slice_index=1,
            box_px=(1, 2, 3, 4),
            relevant=("nodule", "lung")[: number % 3],
            uncertain=("mass",) if number % 2 else (),
            irrelevant=("lung",) if number % 3 == 0 else (),
        )
        yield lesion, Patch(pixels=pixels_of(number), box_px=(number, 2, 300, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lesions")
    write_lesions(cuts(), path, SPACE)
    return path


@pytest.fixture(scope="module")
def dataset(folder):
    return LesionDataset(folder, "train")


def test_masks_hold_the_label_lists(dataset):
    assert len(dataset) == NUMBER
    assert dataset.space.names == ("lung", "nodule", "mass")
    assert dataset.relevant[:3].tolist() == [
        [False, False, False],
        [False, True, False],
        [True, True, False],
    ]
    assert dataset.uncertain[:, 2].tolist() == [bool(i % 2) for i in range(NUMBER)]
    assert dataset.irrelevant[:, 0].tolist() == [i % 3 == 0 for i in range(NUMBER)]
    assert dataset.lesion_ids[7] == "a#7"
    assert dataset.patient_ids[7] == "P3"


def test_one_lesion(dataset):
    lesion = dataset[129]
    assert torch.equal(lesion["pixel_values"], normalise(pixels_of(129)))
    assert lesion["boxes_px"].tolist() == [129, 2, 300, 4]
    assert lesion["index"] == 129
    with pytest.raises(IndexError):
        dataset[NUMBER]


def test_batches_hold_the_lesions_asked_for(dataset):
    order = torch.randperm(NUMBER, generator=torch.Generator().manual_seed(0)).tolist()
    batches = [order[start : start + 32] for start in range(0, NUMBER, 32)]
    for rows, batch in zip(batches, load_batches(dataset, batches), strict=True):
        assert batch["index"].tolist() == rows
        assert batch["pixel_values"].dtype == torch.float32
        expected = torch.stack([normalise(pixels_of(i)) for i in rows])
        assert torch.equal(batch["pixel_values"], expected)
        assert torch.equal(batch["boxes_px"], dataset.boxes_px[rows])
        for name in ("relevant", "uncertain", "irrelevant"):
            assert torch.equal(batch[name], getattr(dataset, name)[rows])


def test_patches_stay_on_disk(dataset):
    dataset[0]
    _, chunks = dataset._chunks
    assert len(chunks) > 1
    assert all(chunk.dtype == torch.float16 for chunk in chunks)
    assert len(pickle.dumps(dataset)) < 100_000
    assert torch.equal(
        pickle.loads(pickle.dumps(dataset))[3]["pixel_values"], dataset[3]["pixel_values"]
    )


def test_worker_processes_read_the_same(dataset):
    (batch,) = load_batches(dataset, [list(range(8))], workers=1)
    assert batch["index"].tolist() == list(range(8))
    assert torch.equal(batch["pixel_values"][3], dataset[3]["pixel_values"])


def test_no_sentence_is_copied_into_the_cache(tmp_path):
    lesion, patch = next(cuts())
    write_lesions([(replace(lesion, sentences=("A secret.",)), patch)], tmp_path, SPACE)
    (cached,) = LesionDataset(tmp_path, "train").rows.cache_files
    assert b"secret" not in Path(cached["filename"]).read_bytes()


def test_a_split_that_is_not_there_is_named(folder):
    with pytest.raises(InputError, match="no lesions in the split 'test', only in train"):
        LesionDataset(folder, "test")


def test_other_labels_in_labels_json_are_told(tmp_path):
    write_lesions(list(cuts())[:1], tmp_path, SPACE)
    renamed = json.loads(json.dumps(SPACE).replace("mass", "cyst"))
    (tmp_path / "labels.json").write_text(dumped(renamed), encoding="utf-8")
    with pytest.raises(InputError, match=r"other labels .* 'cyst' is new, 'mass' is missing"):
        LesionDataset(tmp_path, "train")
    turned = {"labels": SPACE["labels"][::-1]}
    (tmp_path / "labels.json").write_text(dumped(turned), encoding="utf-8")
    with pytest.raises(InputError, match="label 1 is 'mass' instead of 'lung'"):
        LesionDataset(tmp_path, "train")


def test_a_damaged_shard_is_one_clear_error(tmp_path):
    write_lesions(list(cuts())[:1], tmp_path, SPACE)
    next((tmp_path / "data").iterdir()).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="can't be read"):
        LesionDataset(tmp_path, "train")


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no dataset of ours"):
        LesionDataset(tmp_path, "train")
