import json
from collections import Counter

import pytest

from vision.deeplesion import (
    check_numbering,
    keep_patients_together,
    lesions_of,
    patients_in_several_splits,
    read_dl_info,
    read_published_labels,
)
from vision.errors import InputError
from vision.rows import Lesion, Rejected

# As in DeepLesion, not in alphabetical order.
NAMES = ("000001_01_01_009.png", "000001_01_01_005.png", "000001_01_01_009.png")


def lesions(path, labels=None):
    return list(lesions_of(read_dl_info(path), labels, path))


def test_rows_keep_the_order_of_the_file(write_dl_info):
    rows = read_dl_info(write_dl_info(*((name, {}) for name in NAMES)))
    assert [row.file_name for row in rows] == list(NAMES)
    assert [(row.number, row.line) for row in rows] == [(0, 2), (1, 3), (2, 4)]


def test_a_lesion_has_its_place(write_dl_info):
    first, second, third = lesions(write_dl_info(*((name, {}) for name in NAMES)))
    assert [x.lesion_id for x in (first, second, third)] == [
        "000001_01_01_009.png#0",
        "000001_01_01_005.png#0",
        "000001_01_01_009.png#1",
    ]
    assert first.image_file == "000001_01_01/009.png"
    assert first.slice_index == 9
    assert first.box_px == (80.5, 90, 120.25, 110)  # the table counts pixels from 1
    assert first.spacing_mm == (0.8, 0.8, 2)
    assert first.patient_id == "000001"


def test_without_labels_the_splits_are_deeplesions(write_dl_info):
    path = write_dl_info(*((f"00000{i}_01_01_009.png", {"Train_Val_Test": i}) for i in (1, 2, 3)))
    assert [x.split for x in lesions(path)] == ["train", "validation", "test"]


def test_noisy_rows_are_left_out_but_counted_on_their_slice(write_dl_info):
    path = write_dl_info((NAMES[0], {"Possibly_noisy": 1}), (NAMES[0], {}))
    assert [x.lesion_id for x in lesions(path)] == ["000001_01_01_009.png#1"]


@pytest.mark.parametrize(
    "cells",
    [
        {"Bounding_boxes": "1, 2, 3"},
        {"Bounding_boxes": "1, 2, 3, x"},
        {"Spacing_mm_px_": "0.8"},
        {"Key_slice_index": ""},
        {"Train_Val_Test": 4},
    ],
)
def test_a_row_that_cannot_be_read_is_rejected_with_its_line(write_dl_info, cells):
    good, bad = lesions(write_dl_info((NAMES[0], {}), (NAMES[1], cells)))
    assert isinstance(good, Lesion)
    assert isinstance(bad, Rejected)
    assert (bad.line, bad.lesion_id) == (3, "000001_01_01_005.png#0")


def test_another_table_is_refused(tmp_path):
    path = tmp_path / "lesions.csv"
    path.write_text("lesion_id,box\n", encoding="utf-8")
    with pytest.raises(InputError, match="has no column File_name"):
        read_dl_info(path)


def test_labels_are_sets_and_relevant_wins(write_published_labels):
    path = write_published_labels(
        train=[(7, ["lung", "nodule", "lung"], ["nodule", "mass"], ["lung", "mass", "liver"])]
    )
    names, labels = read_published_labels(path)
    assert len(names) == 171
    assert labels[7].split == "train"
    assert labels[7].relevant == ("lung", "nodule")
    assert set(labels[7].uncertain) == {"nodule", "mass"}  # as published
    assert labels[7].irrelevant == ("liver",)


def test_the_published_val_is_our_validation(write_published_labels):
    _, labels = read_published_labels(write_published_labels(val=[(3, ["lung"], [], [])]))
    assert (labels[3].split, labels[3].irrelevant) == ("validation", ())


def test_only_rows_with_labels_are_imported(write_dl_info, write_published_labels):
    path = write_dl_info(*((name, {}) for name in NAMES))
    _, labels = read_published_labels(
        write_published_labels(train=[(2, ["lung"], [], [])], test=[(0, ["liver"], [], [])])
    )
    found = lesions(path, labels)
    assert [(x.lesion_id, x.split, x.relevant) for x in found] == [
        ("000001_01_01_009.png#0", "test", ("liver",)),
        ("000001_01_01_009.png#1", "train", ("lung",)),
    ]


def test_lesion_idx_numbers_the_rows_where_there_is_one(write_dl_info, write_published_labels):
    path = write_dl_info((NAMES[0], {"lesion_idx": 20}), (NAMES[1], {"lesion_idx": ""}))
    rows = read_dl_info(path)
    _, labels = read_published_labels(write_published_labels(train=[(20, ["lung"], [], [])]))
    check_numbering(rows, labels, path)
    assert [x.relevant for x in lesions_of(rows, labels, path)] == [("lung",)]
    assert len(lesions(path)) == 2


def test_a_number_that_stands_twice_is_refused(write_dl_info):
    path = write_dl_info((NAMES[0], {"lesion_idx": 20}), (NAMES[1], {"lesion_idx": 20}))
    with pytest.raises(InputError, match="lesion_idx 20 in several rows"):
        read_dl_info(path)


def refusal(path, *labels):
    with pytest.raises(InputError) as caught:
        check_numbering(read_dl_info(path), labels, path)
    return str(caught.value)


def test_a_part_of_the_table_is_refused(write_dl_info):
    path = write_dl_info((NAMES[0], {}))
    assert "has 1 rows, but there are labels for row 20" in refusal(path, 20)


def test_a_table_in_another_order_is_refused(write_dl_info):
    path = write_dl_info(("000002_01_01_009.png", {}), ("000001_01_01_009.png", {}))
    assert "not in the order of its patients" in refusal(path, 1)


def test_a_large_table_in_alphabetical_order_is_refused(write_dl_info):
    path = write_dl_info(*((f"000001_01_01_{i:04}.png", {}) for i in range(1000)))
    assert "in alphabetical order" in refusal(path, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"term_list": ["lung"]}, "is not the published label file"),
        ({"train_relevant_labels": []}, "is not the published label file"),
        ({"val_uncertain_labels": None}, "is not the published label file"),
        ({"val_lesion_idxs": [7]}, "names the lesion 7 twice"),
    ],
)
def test_a_broken_label_file_is_one_clear_error(write_published_labels, change, message):
    path = write_published_labels(train=[(7, ["liver"], [], [])], val=[(8, ["liver"], [], [])])
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | change), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_published_labels(path)


def test_a_label_file_that_is_no_json_is_one_clear_error(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="Can't read"):
        read_published_labels(path)


def lesion(patient, split):
    return Lesion(
        lesion_id=patient + split,
        patient_id=patient,
        split=split,
        image_file="a.png",
        slice_index=1,
        box_px=(0, 0, 9, 9),
    )


def test_patients_in_two_splits_are_found_and_put_together():
    found = [lesion("a", "train"), lesion("b", "train"), lesion("b", "test"), lesion("b", "test")]
    assert patients_in_several_splits(found) == {"b": Counter(train=1, test=2)}
    rejected = Rejected(file="", line=0, lesion_id="", reason="")
    *together, last = keep_patients_together([*found, rejected])
    assert [x.split for x in together] == ["train", "test", "test", "test"]
    assert last is rejected
