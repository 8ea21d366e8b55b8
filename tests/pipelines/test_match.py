import json

import pytest

from nlp.errors import InputError
from pipelines.match import match_file, predict_file


def write(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_match_keeps_order_and_offsets(tmp_path):
    source = write(
        tmp_path / "in.jsonl",
        {"id": "x", "text": "é nodule, left lower lobe"},
        {"id": 7, "text": "Nothing."},
    )
    assert match_file(source, tmp_path / "out.jsonl") == 2
    first, second = read(tmp_path / "out.jsonl")
    assert [(m["term"], m["start"], m["end"], m["text"]) for m in first["mentions"]] == [
        ("nodule", 2, 8, "nodule"),
        ("left lower lobe", 10, 25, "left lower lobe"),
    ]
    assert first["labels"] == ["chest", "left lower lobe", "left lung", "lung", "nodule"]
    assert second == {"id": 7, "mentions": [], "labels": []}


def test_relations_finds_what_is_missing(tmp_path):
    source = write(tmp_path / "in.jsonl", {"id": "x", "text": "9 mm nodule, no cyst", "extra": 1})
    predict_file(source, tmp_path / "out.jsonl", relations="rules")
    (found,) = read(tmp_path / "out.jsonl")
    assert found["extra"] == 1
    assert [(b["id"], b["kind"]) for b in found["bookmarks"]] == [("B1", "measurement")]
    assert [(p["bookmark"], p["mention"], p["relation"]) for p in found["pairs"]] == [
        ("B1", 0, "relevant"),
        ("B1", 1, "irrelevant"),
    ]
    for pair in found["pairs"]:
        assert set(pair["probabilities"]) == {"relevant", "uncertain", "irrelevant"}
        assert sum(pair["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_relations_keeps_what_is_given(tmp_path):
    bookmarks = [
        {"id": "A", "start": 0, "end": 4, "kind": "measurement"},
        {"id": "Z", "start": 12, "end": 16, "kind": "prior"},
    ]
    mentions = [{"term": "nodule", "start": 5, "end": 11}]
    record = {"id": 1, "text": "9 mm nodule 4 mm", "bookmarks": bookmarks, "mentions": mentions}
    source = write(tmp_path / "in.jsonl", {**record, "pairs": []})
    predict_file(source, tmp_path / "out.jsonl", relations="rules")
    (found,) = read(tmp_path / "out.jsonl")
    assert (found["bookmarks"], found["mentions"]) == (bookmarks, mentions)
    assert [p["bookmark"] for p in found["pairs"]] == ["A"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: broken JSON"),
        ("[]", "line 2: an object with 'id'"),
        ('{"id": 1}', "line 2: 'text' is missing"),
        ('{"id": 1, "text": "a", "bookmarks": [{}]}', "line 2: bookmarks need id"),
        (
            '{"id": 1, "text": "a", "mentions": [{"term": "x", "start": 0, "end": 9}]}',
            "mark no word of the text",
        ),
    ],
)
def test_a_faulty_line_is_named_and_nothing_written(line, said, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 0, "text": "9 mm"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        predict_file(source, tmp_path / "out.jsonl", relations="rules")
    assert not (tmp_path / "out.jsonl").exists()


def test_bookmarks_may_overlap(tmp_path):
    prior = {"id": "P", "start": 2, "end": 6, "kind": "prior"}
    marks = [prior, {**prior, "id": "B1", "kind": "measurement"}]
    record = {"id": "x", "text": "A 3 cm liver mass", "bookmarks": marks}
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(record) + "\n", encoding="utf-8")
    assert predict_file(source, target) == 1
    pairs = json.loads(target.read_text(encoding="utf-8"))["pairs"]
    assert pairs
    assert {pair["bookmark"] for pair in pairs} == {"B1"}
