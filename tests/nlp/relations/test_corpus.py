import json

import pytest

from nlp.errors import InputError
from nlp.relations.corpus import parse_markup, read_corpus, to_record

LINE = "{1:14 mm} {nodule|1} and {clot=thrombus|1?} near the {stent|-}, previously {p:4 mm}."


def test_markup(pipeline):
    passage = parse_markup(LINE, pipeline)
    assert passage.report.text == "14 mm nodule and clot near the stent, previously 4 mm."
    assert [(b.kind, b.sizes_mm) for b in passage.bookmarks] == [
        ("measurement", (14.0,)),
        ("prior", (4.0,)),
    ]
    assert [m.term for m in passage.mentions] == ["nodule", "thrombus", "stent"]
    assert [r.relation for r in passage.relations] == ["relevant", "uncertain", "irrelevant"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{1:9 mm} {nodule|2}", "names bookmark 2, which is not there"),
        ("{1:9 mm} {nodule|1", "a brace or bar stands outside"),
        ("{1:9 mm} {nodule|yes}", "yes"),
    ],
)
def test_a_faulty_line_is_named(line, said, pipeline, tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(f"# comment\n\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"line 3.*{said}"):
        list(read_corpus(path, pipeline))


def test_json_lines_and_markup_are_the_same(pipeline, tmp_path):
    passage = parse_markup(LINE, pipeline)
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"text": passage.report.text, **to_record(passage)}) + "\n", "utf-8")
    (again,) = read_corpus(path, pipeline)
    assert again.relations == passage.relations
    assert [(m.term, m.start, m.end) for m in again.mentions] == [
        (m.term, m.start, m.end) for m in passage.mentions
    ]
