import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.mined import MinedRow, merge_bookmarks
from vision.rows import Lesion, Rejected

NAMES = ("lung", "nodule", "mass", "cyst")


def row(line=1, labels=((), (), ()), **cells):
    place = {
        "lesion_id": "a.png#0",
        "patient_id": "P1",
        "sentence": f"Sentence {line}.",
        "image_file": "a.png",
        "slice_index": 3,
        "box_px": [1.0, 2.0, 3.0, 4.0],
        "spacing_mm": [0.8, 0.8, 2.0],
    }
    return MinedRow(file="s", line=line, split="test", cells=place | cells, labels=labels)


def test_bookmarks_of_a_lesion_become_one_lesion():
    rows = [
        row(1, (("mass",), ("nodule", "lung"), ())),
        row(2, (("lung",), (), ("mass", "cyst"))),
        row(3, lesion_id="a.png#1"),
    ]
    first, second = merge_bookmarks(rows, NAMES)
    assert isinstance(first, Lesion)
    assert first.relevant == ("lung", "mass")
    assert first.uncertain == ("nodule",)
    assert first.irrelevant == ("cyst",)
    assert first.sentences == ("Sentence 1.", "Sentence 2.")
    assert (first.split, first.slice_index, first.box_px) == ("test", 3, (1, 2, 3, 4))
    assert second.lesion_id == "a.png#1"


def test_a_sentence_with_two_bookmarks_of_a_lesion_is_kept_once():
    (lesion,) = merge_bookmarks([row(1), row(1)], NAMES)
    assert lesion.sentences == ("Sentence 1.",)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"lesion_id": ""}, "no lesion_id"),
        ({"image_file": ""}, "no image_file"),
        ({"slice_index": None}, "no slice_index"),
        ({"box_px": []}, "no box_px"),
    ],
)
def test_a_row_without_its_place_is_rejected(cells, words):
    rejected, lesion = merge_bookmarks([row(5, **cells), row(6)], NAMES)
    assert isinstance(rejected, Rejected)
    assert (rejected.file, rejected.line) == ("s", 5)
    assert words in rejected.reason
    assert isinstance(lesion, Lesion)


def test_a_lesion_of_two_patients_is_none():
    found = list(merge_bookmarks([row(1), row(2, patient_id="P2")], NAMES))
    assert [x.line for x in found] == [1, 2]
    assert all("several patients" in x.reason for x in found)


@given(st.lists(st.tuples(*[st.sets(st.sampled_from(NAMES))] * 3), min_size=1, max_size=4))
def test_a_label_stands_in_the_strongest_list_that_has_it(found):
    (lesion,) = merge_bookmarks([row(i, labels) for i, labels in enumerate(found)], NAMES)
    merged = (lesion.relevant, lesion.uncertain, lesion.irrelevant)
    for name in NAMES:
        strongest = [which for which in range(3) if any(name in labels[which] for labels in found)]
        assert [which for which in range(3) if name in merged[which]] == strongest[:1]
