import json

import pytest

from nlp.relations.corpus import CORPUS_FOLDER, parse_markup, plain_text, to_record
from nlp.relations.corpus_checks import (
    count_corpus,
    find_unmarked,
    read_annotated,
    record_problems,
    repeat_faults,
)
from nlp.relations.corpus_terms import CorpusTerms


@pytest.fixture(scope="module")
def terms(pipeline):
    return CorpusTerms.of_pipeline(pipeline)


@pytest.fixture
def read(tmp_path, pipeline, terms):
    def read(*lines, name="corpus.txt"):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return read_annotated(path, pipeline, terms)

    return read


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{1:9 mm} {nodule|1", "a brace or bar stands outside"),
        ("{1:9 mm} {nodule|2}", "names bookmark 2, which is not there"),
        ("{1:9 mm} {nodule|1 1?}", "names bookmark 1 twice"),
        ("{1:9 mm} {nodule|}", "no code; write -"),
        ("{1:9 mm} {nodule|1} and {1:8 mm} {cyst|1}", "bookmark B1 is there 2 times"),
        ("{p:9 mm} {nodule|-}", "no bookmark of this study"),
        ("{1:9 mm} { nodule|1}", "begins or ends with a blank"),
        ("{1:9 mm} {lesion|1}", "'lesion' is no term; unmark it"),
        ("{1:9 mm} in the {left|1} lung", "'left' is no term"),
        ("{1:9 mm} {mass-like|1} thing", "'mass-like' is no term"),
        ("{1:9 mm} {clot=trombus|1}", "'clot' is no term"),
        ("{1:9 mm} {lump=masses|1}", "write {lump=mass|..}"),
    ],
)
def test_a_faulty_line_meets_one_sentence_that_says_what_to_do(line, said, read):
    _, (fault,) = read("# comment", "", line)
    assert fault.line == 3
    assert said in fault.problem


@pytest.mark.parametrize(
    "words",
    [
        "nodule",
        "Ground-Glass Opacities",  # a synonym up to case and plural
        "carcinoma",  # a term of the published list that is no label
        "hemorrhagic",  # its synonym
        "linearly",  # a plain derivation
        "clot=thrombus",  # given
        "pneumonia=infection",
    ],
)
def test_words_of_a_term_may_be_marked(words, read):
    sentences, faults = read(f"{{1:9 mm}} {{{words}|1}}")
    assert (len(sentences), faults) == (1, [])


RECORD = {
    "text": "9 mm nodule, before 7 mm, near the spleen.",
    "bookmarks": [
        {"id": "B1", "start": 0, "end": 4, "kind": "measurement"},
        {"id": "P1", "start": 20, "end": 24, "kind": "prior"},
    ],
    "mentions": [
        {"term": "nodule", "start": 5, "end": 11, "text": "nodule"},
        {"term": "spleen", "start": 35, "end": 41},
    ],
    "pairs": [
        {"bookmark": "B1", "mention": 0, "relation": "relevant"},
        {"bookmark": "B1", "mention": 1, "relation": "irrelevant"},
    ],
}


def changed(path, value):
    """The record with one value changed; `path` leads to it."""
    record = json.loads(json.dumps(RECORD))
    *way, last = path
    place = record
    for step in way:
        place = place[step]
    place[last] = value
    return record


def test_a_sound_record_has_no_fault(read):
    sentences, faults = read(json.dumps(RECORD), name="corpus.jsonl")
    assert faults == []
    assert [r.relation for r in sentences[0].passage.relations] == ["relevant", "irrelevant"]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([], "no sentence"),
        (changed(["pairs"], None), '"pairs" is no list'),
        (changed(["mentions", 0], {"term": "nodule"}), '"start" (int) and "end" (int)'),
        (changed(["mentions", 0, "text"], "module"), "other words than stand at [5, 11)"),
        (changed(["mentions", 0, "start"], True), '"start" (int)'),
        (changed(["mentions", 1, "end"], 50), "mention 1 at [35, 50) is empty or outside"),
        (changed(["mentions", 1, "start"], 41), "mention 1 at [41, 41) is empty or outside"),
        (changed(["mentions", 1, "start"], 7), "mention 0 and mention 1 overlap"),
        (changed(["mentions", 1], {"term": "milt", "start": 31, "end": 34}), "'the' is no term"),
        (changed(["bookmarks", 0, "kind"], "size"), "has kind 'size'"),
        (changed(["bookmarks", 0, "end"], 8), "bookmark B1 and mention 0 overlap"),
        (changed(["bookmarks", 1, "id"], "B1"), "bookmark B1 is there 2 times"),
        (changed(["pairs"], RECORD["pairs"][:1]), "B1 has no pair with mention 1; add it"),
        (changed(["pairs"], RECORD["pairs"] * 2), "mention 0 is there 2 times; keep one"),
        (changed(["pairs", 1, "mention"], 2), "names mention 2; there are 2, from 0"),
        (changed(["pairs", 1, "mention"], -1), "names mention -1"),
        (changed(["pairs", 1, "bookmark"], "P1"), "P1, which is prior"),
        (changed(["pairs", 1, "bookmark"], "B9"), "names bookmark 'B9', which is not there"),
        (changed(["pairs", 1, "relation"], "maybe"), "has relation 'maybe'"),
    ],
)
def test_a_faulty_record_is_named(record, said, read):
    _, faults = read(json.dumps(record), name="corpus.jsonl")
    assert any(said in fault.problem for fault in faults), faults


def test_broken_json_is_a_fault():
    (problem,) = record_problems('{"text": ')
    assert "broken JSON" in problem


def test_a_sentence_twice_is_a_fault_whatever_its_numbers(read):
    first, _ = read("{1:9 mm} {nodule|1}  here.", "{1:8 mm} {cyst|1} here.")
    again, _ = read("{1:1.5 MM} {Nodule|1} here.", name="more.txt")
    held_out, _ = read("{1:4 mm} {cyst|1} here.", name="validation_9.txt")
    one, other = repeat_faults([*first, *again, *held_out])
    assert one.problem == "the sentence of corpus.txt, line 1 again; drop one"
    assert "training and validation share this sentence (corpus.txt, line 2)" in other.problem


def test_unmarked_term_words_are_listed(read, terms):
    (sentence,), faults = read("{1:9 mm} {nodule|1} of the left lower lobe, no mass effect.")
    assert faults == []
    (found,) = find_unmarked(sentence, terms)
    assert (found.words, found.term) == ("left lower lobe", "left lower lobe")


def test_figures(read, ontology):
    sentences, _ = read("{1:9 mm} {nodule|1} near the {aorta|-}.", "{1:9 mm} {cyst|1?} {2:8 mm}")
    held_out, _ = read("{1:9 mm} {mass|1} here.", name="validation.txt")
    figures = count_corpus([*sentences, *held_out], ontology)
    assert [figures[key] for key in ("sentences", "bookmarks", "mentions", "pairs")] == [3, 4, 4, 5]
    assert figures["shares"] == {"relevant": 0.4, "uncertain": 0.2, "irrelevant": 0.4}
    assert figures["share_with_several_bookmarks"] == pytest.approx(1 / 3)
    assert figures["labels_few"] == {"nodule": 1, "aorta": 1, "cyst": 1} | figures["labels_few"]
    assert "mass" in figures["labels_never"]  # a validation batch teaches nothing


def test_markup_and_record_have_the_same_faults(pipeline):
    """What the mining hands out as a record is sound by these checks."""
    passage = parse_markup("{1:9 mm} {nodule|1} near the {spleen|-}, before {p:7 mm}.", pipeline)
    assert not list(
        record_problems(json.dumps({"text": passage.report.text, **to_record(passage)}))
    )


@pytest.mark.parametrize("path", sorted(CORPUS_FOLDER.glob("*.txt")), ids=lambda p: p.stem)
def test_plain_text_is_the_text_of_the_passage(path, pipeline, terms):
    sentences, _ = read_annotated(path, pipeline, terms)
    lines = path.read_text(encoding="utf-8").splitlines()
    for sentence in sentences:
        assert plain_text(lines[sentence.line - 1]) == sentence.passage.report.text
