import json

import pytest

from nlp.errors import InputError
from nlp.records import Rejected
from nlp.store import (
    Manifest,
    add_rejected,
    digest_of,
    label_space,
    read_manifest,
    replace_file,
    write_manifest,
)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="no dataset of ours"):
        read_manifest(tmp_path)


def test_a_new_folder_has_an_empty_manifest(tmp_path):
    assert read_manifest(tmp_path / "new") == Manifest()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99, "labels": [], "batches": []}'])
def test_a_broken_manifest_is_one_clear_error(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"manifest\.json can't be read"):
        read_manifest(tmp_path)


def test_a_rejected_record_is_listed_once(tmp_path):
    records = [Rejected(file="a", line=1, reason="x"), Rejected(file="a", line=2, reason="x")]
    assert add_rejected(tmp_path, records) == 2
    assert add_rejected(tmp_path, records) == 2
    lines = (tmp_path / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["line"] for line in lines] == [1, 2]


def test_replacing_a_file_leaves_no_scratch_file(tmp_path):
    replace_file(tmp_path / "a.txt", "one")
    replace_file(tmp_path / "a.txt", "two")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [
        ("a.txt", "two")
    ]


def test_digests_tell_where_a_part_ends():
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("ab", "c") == digest_of("ab", "c")


def test_labels_json_has_what_the_ontology_says_of_each_label(ontology, tmp_path):
    write_manifest(tmp_path, Manifest(labels=ontology.labels), ontology)
    content = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert content == label_space(ontology)
    labels = {label["name"]: label for label in content["labels"]}
    assert tuple(labels) == ontology.labels
    lower_lobe = labels["right lower lobe"]
    assert lower_lobe["class"] == "bodypart"
    assert lower_lobe["ancestors"] == ["chest", "lung", "right lung"]
    assert "left lung" in lower_lobe["exclusives"]


def test_labels_json_says_only_what_is_a_label(ontology):
    for label in label_space(ontology)["labels"]:
        assert {*label["ancestors"], *label["exclusives"]} <= set(ontology.labels) - {label["name"]}
