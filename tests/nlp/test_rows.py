import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.errors import InputError
from nlp.rows import SPLITS, Place, read_lesion_table, read_split_table, split_of


@given(st.text(max_size=30))
def test_a_patient_is_always_in_the_same_split(patient):
    assert split_of(patient) == split_of(patient)
    assert split_of(patient) in SPLITS


def test_the_hash_never_changes():
    """Were it another, patients would move between the splits of a dataset that grows."""
    found = {f"P{i}": split_of(f"P{i}") for i in range(12)}
    assert {p: s for p, s in found.items() if s != "train"} == {"P4": "validation", "P8": "test"}


def test_shares_are_about_80_10_10():
    found = [split_of(f"patient-{i}") for i in range(5000)]
    assert [round(found.count(s) / 5000, 1) for s in SPLITS] == [0.8, 0.1, 0.1]


def test_a_given_split_wins():
    assert split_of("P1", {"P1": "test"}) == "test"


def test_the_lesion_table(tmp_path):
    path = tmp_path / "lesions.csv"
    path.write_text(
        "lesion_id,image_file,slice_index,box_px,spacing_mm\n"
        'L1,a.png,37,"1 2 3.5 4","0.7,0.7,5"\nL2,,,,\n',
        encoding="utf-8",
    )
    assert read_lesion_table(path) == {
        "L1": Place(
            image_file="a.png",
            slice_index=37,
            box_px=(1.0, 2.0, 3.5, 4.0),
            spacing_mm=(0.7, 0.7, 5.0),
        ),
        "L2": Place(),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("lesion_id,slice_index\nL1,x\n", "line 2: slice_index"),
        ("lesion,slice_index\nL1,3\n", "no column 'lesion_id'"),
        ("", "no column 'lesion_id'"),
    ],
)
def test_a_faulty_lesion_table_is_refused(content, said, tmp_path):
    path = tmp_path / "lesions.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_lesion_table(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("patient_id,split\nP1,dev\n", "train, validation, test"),
        ("patient_id,split\nP1,test\nP1,train\n", "line 3: this patient stands in another split"),
    ],
)
def test_a_faulty_split_table_is_refused(content, said, tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_split_table(path)
