"""Copies are found with other labels and sizes; stock phrases are not."""

import json

import pytest

from nlp.errors import InputError
from nlp.matching import tokens_of
from nlp.relations.corpus_nearness import find_near, mask, mask_words, read_other
from nlp.relations.corpus_terms import CorpusTerms

SOURCE = (
    "Despite the artefact of the hip prosthesis a 14 mm spiculated nodule is discernible in the "
    "lingula, which the referring surgeon should correlate with the bronchoscopy."
)
STOCK = [
    f"There is a {n} mm nodule in the right lower lobe, unchanged since May." for n in range(9)
]


@pytest.fixture(scope="module")
def terms(pipeline):
    return CorpusTerms.of_pipeline(pipeline)


@pytest.fixture
def masked(pipeline, terms):
    def masked(*texts, file="ours"):
        return [
            mask(file, line, text, tokens_of(pipeline(text)), terms)
            for line, text in enumerate(texts, start=1)
        ]

    return masked


def test_labels_bookmarks_and_numbers_are_masked(pipeline, terms):
    text = "Two right-sided 14 mm spiculated lung nodules since 2015."
    assert mask_words(text, tokens_of(pipeline(text)), terms) == [
        *("two", "right", "sided", "<bookmark>", "<attribute>", "<type>"),
        *("since", "<number>"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SOURCE, True),
        (SOURCE.replace("14 mm spiculated", "2.5 cm lobulated").replace("lingula", "liver"), True),
        (SOURCE.replace("discernible", "seen").replace("surgeon", "physician"), True),
        ("New: " + SOURCE[SOURCE.index("which") :], True),
        ("There is a 7 mm nodule in the lingula, which is unchanged since May.", False),
        ("A 14 mm spiculated nodule in the lingula.", False),
    ],
)
def test_what_is_too_near(text, found, masked):
    near = find_near(masked(text), masked(SOURCE, *STOCK, file="theirs"), masked(*STOCK, file="b"))
    assert any(n.too_near and n.other_line == 1 for n in near) == found


def test_the_same_sentence_is_too_near_even_if_it_is_stock(masked):
    (near, *_) = find_near(masked("a 5 MM nodule."), masked("A 9 mm nodule.", file="theirs"), [])
    assert near.too_near
    assert near.similarity == 1


def test_common_runs_do_not_count(masked):
    stock = "The {} is again seen and allowing for technique has not changed {}."
    ours = masked(stock.format("liver", "today"))
    theirs = masked(stock.format("spleen", "much"), file="theirs")
    batches = [m for n in "abcd" for m in masked(stock.format("lung", n * 3), file=n)]
    assert find_near(ours, theirs, [])[0].too_near
    assert find_near(ours, theirs, batches) == []


def test_a_batch_does_not_make_its_own_copies_common(masked):
    copies = [
        f"{SOURCE} Here ends copy {word}." for word in ("one", "two", "three", "four", "five")
    ]
    near = find_near(masked(*copies), masked(SOURCE, file="theirs"), [])
    assert [n.too_near for n in near] == [True] * 5


def test_a_file_is_not_compared_with_itself(masked):
    assert find_near(masked(SOURCE), masked(SOURCE), []) == []


@pytest.mark.parametrize(
    ("name", "written", "lines"),
    [
        ("a.jsonl", json.dumps({"text": "One cyst. Two cysts."}) + "\n", [1, 1]),
        ("a.txt", "# title\n{1:9 mm} {cyst|1} here.\n", [2]),
        ("a.txt", "FINDINGS:\nOne cyst.\n\nTwo cysts.\n", [2, 4]),
    ],
)
def test_other_texts_are_read_by_sentence(name, written, lines, tmp_path, pipeline, terms):
    path = tmp_path / name
    path.write_text(written, encoding="utf-8")
    assert [m.line for m in read_other(path, pipeline, terms)] == lines


def test_a_record_without_text_is_refused(tmp_path, pipeline, terms):
    path = tmp_path / "a.jsonl"
    path.write_text('{"report": "x"}\n', encoding="utf-8")
    with pytest.raises(InputError, match='line 1: no JSON object with "text"'):
        list(read_other(path, pipeline, terms))
