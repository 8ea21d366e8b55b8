import json

import pytest

from nlp.errors import InputError
from nlp.relations.corpus import corpus_files
from pipelines.corpus import check_corpora


def test_the_shipped_sentences_are_sound_and_teach_every_label():
    checked = check_corpora()
    assert checked["faults"] == []
    assert checked["labels_never"] == []
    assert checked["pairs"] > 25_000


def test_faults_of_all_files_are_listed_in_order(tmp_path):
    (tmp_path / "b.txt").write_text("{1:9 mm} {lesion|1}\n\n{1:9 mm} {cyst|2}\n", "utf-8")
    (tmp_path / "a.jsonl").write_text("{}\n", "utf-8")
    checked = check_corpora([tmp_path])
    assert [(f["file"], f["line"]) for f in checked["faults"]] == [
        (str(tmp_path / "a.jsonl"), 1),
        (str(tmp_path / "b.txt"), 1),
        (str(tmp_path / "b.txt"), 3),
    ]
    assert checked["sentences"] == 1


def test_near_sentences_are_faults_that_quote_nothing(tmp_path):
    ours, theirs = tmp_path / "ours.txt", tmp_path / "theirs.jsonl"
    text = "Curiously the {} in the zebra-striped {} resembles a folded paper boat."
    ours.write_text("{1:9 mm}: " + text.format("{cyst|1}", "{liver|1}") + "\n", "utf-8")
    theirs.write_text(json.dumps({"text": text.format("mass", "spleen")}) + "\n", "utf-8")
    checked = check_corpora([ours], [theirs])
    (fault,), (near,) = checked["faults"], checked["nearest"]
    assert f"to a sentence of {theirs}, line 1" in fault["problem"]
    assert "zebra" not in json.dumps([fault, near])
    assert near["too_near"]
    assert not check_corpora([ours], [ours])["faults"]


def test_no_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no corpus in .*: give \.txt or \.jsonl"):
        corpus_files([tmp_path])
