"""Scores of relation models on made-up sentences, and the page of the worst errors."""

import json
import re

import numpy as np
import pytest

from nlp.errors import InputError
from nlp.relations.corpus import read_corpora
from nlp.relations.metrics import macro_f1
from pipelines.decisions import Decided, decide
from pipelines.error_page import MAX_ERRORS, write_error_page
from pipelines.evaluation import GROUPS, evaluate_relations, group_scores, score_passages

LINES = """
{1:9 mm} {nodule|1} in the {lingula|1}.
No {calcification|-} of the {1:9 mm} {mass|1}.
A {1:9 mm} {mass|1}, likely a {cyst|1?}.
{Lymph node|1} {1:BOOKMARK} near the {spleen|-}.
{1:9 mm} {mass|-} and {2:4 mm} {blob=a word of its own|1 2?}.
"""
KEYS = """pairs sentences accuracy macro_f1 macro_f1_95 relevant uncertain irrelevant
    relevant_or_uncertain ece confusion by_class by_bookmarks by_words""".split()


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


class Answers:
    """A model that gives each pair of a passage the same probabilities."""

    digest = "answers"
    relevant_at_least = 0.0

    def __init__(self, *row):
        self.row = row

    def predict(self, passages):
        return [
            np.tile(np.float32(self.row), (len(p.current) * len(p.mentions), 1)) for p in passages
        ]


def test_a_demanded_precision_makes_unsure_pairs_uncertain(corpus):
    plain = evaluate_relations([corpus], relations="cnn")
    asked = evaluate_relations([corpus], relations="cnn", precision=0.99)
    called = [sum(row[0] for row in scores["confusion"]) for scores in (plain, asked)]
    assert called[1] <= called[0]
    assert [sum(row) for row in plain["confusion"]] == [sum(row) for row in asked["confusion"]]


def test_scores_count_every_pair(corpus):
    scores = evaluate_relations([corpus], relations="rules")
    assert (scores["sentences"], scores["pairs"]) == (5, 12)
    assert list(scores) == ["model", *KEYS, "compared_with"]
    low, high = scores["macro_f1_95"]
    assert low <= scores["macro_f1"] <= high
    assert 0 <= scores["ece"] <= 1
    counts = np.array(scores["confusion"])
    assert counts.sum() == 12
    assert counts.sum(axis=1).tolist() == [6, 2, 4]
    assert scores["accuracy"] == counts.trace() / 12


def test_a_passage_without_pairs_takes_no_part(corpus, tmp_path):
    more = tmp_path / "more.txt"
    more.write_text("Seen at {1:9 mm}.\n", encoding="utf-8")
    alone = evaluate_relations([corpus], relations="rules")
    assert evaluate_relations([corpus, more], relations="rules") == alone


def test_every_pair_is_in_one_group_of_each_kind(corpus):
    scores = score_passages(read_corpora([corpus]), "rules")
    for column, names in GROUPS.items():
        assert tuple(scores[column]) == names
        assert sum(group["pairs"] for group in scores[column].values()) == scores["pairs"]
    pairs = {name: group["pairs"] for name, group in scores["by_class"].items()}
    assert pairs == {"bodypart": 3, "type": 6, "attribute": 1, "other": 2}
    assert [g["pairs"] for g in scores["by_bookmarks"].values()] == [8, 4, 0]


@pytest.mark.parametrize(
    ("words", "group"), [(15, "1-15"), (16, "16-30"), (30, "16-30"), (31, "31+")]
)
def test_sentences_are_grouped_by_words_between_blanks(words, group, tmp_path, ontology):
    path = tmp_path / "corpus.txt"
    path.write_text("{1:BOOKMARK} {mass|1}" + " so" * (words - 2), encoding="utf-8")
    scores = group_scores(decide(read_corpora([path]), Answers(1, 0, 0)), ontology)["by_words"]
    assert {name for name, figures in scores.items() if figures["pairs"]} == {group}


def test_a_group_without_gold_pairs_of_a_relation_has_no_score(corpus, ontology):
    decided = decide(read_corpora([corpus]), Answers(1, 0, 0))
    groups = group_scores(decided, ontology)
    nothing = {"macro_f1": None, "relevant_or_uncertain_f1": None}
    assert groups["by_bookmarks"]["3+"] == {"pairs": 0, **nothing}
    assert groups["by_class"]["attribute"] == {"pairs": 1, **nothing}  # it is irrelevant
    bodypart = groups["by_class"]["bodypart"]  # two relevant, one irrelevant
    assert bodypart["macro_f1"] is None
    assert bodypart["relevant_or_uncertain_f1"] == pytest.approx(0.8)
    expected = macro_f1([0, 0, 0, 1, 2, 2], [0] * 6)
    assert groups["by_class"]["type"]["macro_f1"] == pytest.approx(expected)


def test_models_are_compared_on_the_same_sentences(corpus):
    scores = evaluate_relations([corpus], relations="cnn", compare="rules")
    other = evaluate_relations([corpus], relations="rules", compare="cnn")
    ours, theirs = scores["compared_with"], other["compared_with"]
    assert ours["model"] == "rules"
    assert ours["macro_f1"] == other["macro_f1"]
    assert ours["difference"] == pytest.approx(scores["macro_f1"] - other["macro_f1"])
    assert theirs["difference"] == pytest.approx(-ours["difference"])
    low, high = ours["difference_95"]
    assert low <= ours["difference_mean"] <= high
    assert 0 <= ours["not_better"] <= 1


def test_a_model_is_not_compared_with_itself(corpus):
    from nlp.relations.cnn import SHIPPED

    assert evaluate_relations([corpus], relations="rules")["compared_with"] is None
    by_folder = evaluate_relations([corpus], relations="cnn", compare=str(SHIPPED))
    assert by_folder["compared_with"] is None


@pytest.mark.parametrize("option", ["relations", "compare"])
@pytest.mark.parametrize("name", ["nowhere", "corpus.txt"])
def test_no_model_no_scores(corpus, name, option):
    with pytest.raises(InputError, match="There is no relation model"):
        evaluate_relations([corpus], **{option: name})


def test_a_corpus_without_pairs_is_refused(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("Seen at {1:9 mm}.\n", encoding="utf-8")
    with pytest.raises(InputError, match="no pair"):
        evaluate_relations([path], relations="rules")


def test_end_to_end_is_told_when_asked_for(corpus):
    scores = evaluate_relations([corpus], relations="rules", end_to_end=True)
    assert set(scores["end_to_end"]) == {"relevant_or_uncertain", "relevant"}
    assert scores["end_to_end"]["relevant"]["gold"] == 5  # the term of its own is no label
    json.dumps(scores, allow_nan=False)


def articles(page):
    return re.findall(r"<article.*?</article>", page, re.S)


@pytest.mark.parametrize("end_to_end", [False, True])
def test_the_page_shows_each_error_and_the_scores(corpus, tmp_path, end_to_end):
    path = tmp_path / "new" / "errors.html"
    scores = evaluate_relations([corpus], relations="rules", end_to_end=end_to_end, page=path)
    page = path.read_text(encoding="utf-8")
    wrong = scores["pairs"] - np.array(scores["confusion"]).trace()
    assert len(articles(page)) == wrong > 0
    assert f"{scores['macro_f1']:.3f}" in page
    assert ("End to end" in page) == end_to_end
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page


def write_page(tmp_path, passages, model):
    path = tmp_path / "errors.html"
    decided = decide(passages, model)
    result = {
        "model": "a <model>",
        "compared_with": None,
        **score_passages(passages, "rules"),
    }
    write_error_page(path, result, decided)
    return path.read_text(encoding="utf-8")


def test_an_error_is_marked_in_its_sentence(corpus, tmp_path):
    passages = read_corpora([corpus])[4:]
    page = write_page(tmp_path, passages, Answers(0.75, 0.05, 0.2))
    first = articles(page)[0]
    assert 'data-gold="irrelevant" data-predicted="relevant"' in first
    assert '<span class="b focus">9 mm</span> <span class="m">mass</span> and' in first
    assert '<span class="b">4 mm</span>' in first
    assert "<b>mass</b>" in first
    assert "(0.20)" in first
    assert "(0.75)" in first


def test_a_mention_within_a_bookmark_keeps_both_marks(tmp_path, pipeline):
    from nlp.relations.corpus import parse_record

    pair = {"bookmark": "B1", "mention": 0, "relation": "relevant"}
    record = {
        "text": "A 9 mm mass.",
        "bookmarks": [{"id": "B1", "start": 2, "end": 11, "kind": "measurement"}],
        "mentions": [{"term": "mass", "start": 7, "end": 11}],
        "pairs": [pair],
    }
    passage = parse_record(json.dumps(record), pipeline)
    page = write_page(tmp_path, [passage], Answers(0, 0, 1))
    assert '<span class="b focus">9 mm </span><span class="m b focus">mass</span>.' in page


def test_the_surest_errors_come_first_and_not_too_many(corpus, tmp_path):
    passage = read_corpora([corpus])[0]
    sure = np.linspace(0.4, 0.9, 150)
    decided = [
        Decided(
            passage=passage,
            gold=[0, 0],
            predicted=[2, 2],
            probabilities=np.float32([[1 - p, 0, p]] * 2),
        )
        for p in sure
    ]
    result = {"model": "m", "compared_with": None, **score_passages([passage], "rules")}
    write_error_page(tmp_path / "errors.html", result, decided)
    page = (tmp_path / "errors.html").read_text(encoding="utf-8")
    shown = [float(p) for p in re.findall(r"decided .*?\((0\.\d+)\)", "".join(articles(page)))]
    assert len(shown) == MAX_ERRORS
    assert shown == sorted(shown, reverse=True)
    assert "200 of the 300 pairs decided wrongly" in page


def test_sentences_cannot_become_markup(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("{1:9 mm} {mass=<b>|1} </p><script>alert(1)</script> &lt;\n", encoding="utf-8")
    page = write_page(tmp_path, read_corpora([path]), Answers(0, 0, 1))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&amp;lt;" in page
    assert "a &lt;model&gt;" in page
    assert "<b>&lt;b&gt;</b>" in page


def test_a_page_that_cannot_be_written_is_one_sentence(corpus, tmp_path):
    with pytest.raises(InputError, match=r"Can't write .* Give another --page"):
        evaluate_relations([corpus], relations="rules", page=corpus / "errors.html")
