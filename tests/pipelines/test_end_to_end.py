"""From a sentence's text to its relations, against gold pairs. All sentences are made up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.ontology import Ontology
from nlp.records import RELATIONS, Bookmark, Mention, Passage, Relation, Report, Sentence
from nlp.relations import load_model, pairs_of
from nlp.relations.corpus import parse_markup
from nlp.relations.metrics import binary_scores, scores
from pipelines.end_to_end import align, find_items, score_end_to_end, score_found

ONTOLOGY = Ontology.from_csv()
TEXT = "word " * 12
TERMS = ("lung", "right lung", "right lower lobe", "nodule", "no label at all")
RULES = ("synonym", "split", "narrower")


@st.composite
def spans(draw, size):
    """Up to `size` different places of one to three words."""
    places = st.tuples(st.integers(0, 9), st.integers(1, 3))
    return [
        {"start": 5 * first, "end": 5 * (first + length) - 1}
        for first, length in draw(st.lists(places, max_size=size, unique=True))
    ]


@st.composite
def passages(draw):
    kinds = st.sampled_from(["measurement", "slice", "prior"])
    bookmarks = [
        Bookmark(id=f"B{i}", kind=draw(kinds), **span) for i, span in enumerate(draw(spans(3)))
    ]
    mentions = [
        Mention(term=draw(st.sampled_from(TERMS)), rule=draw(st.sampled_from(RULES)), **span)
        for span in draw(spans(5))
    ]
    passage = Passage(
        report=Report(report_id="", patient_id="", text=TEXT),
        sentence=Sentence(start=0, end=len(TEXT), text=TEXT),
        bookmarks=tuple(bookmarks),
        lesion_ids={},
        mentions=tuple(mentions),
    )
    return draw(decided(passage))


@st.composite
def decided(draw, passage):
    """The passage with some relation for each pair."""
    relations = tuple(
        Relation(
            bookmark=bookmark,
            mention=mention,
            relation=draw(st.sampled_from(RELATIONS)),
            probabilities=(1.0, 0.0, 0.0),
        )
        for bookmark, mention in pairs_of(passage)
    )
    return replace(passage, relations=relations)


def called(passage, relations):
    return [
        r
        for r in passage.relations
        if r.relation in relations and passage.mentions[r.mention].term != "no label at all"
    ]


@given(st.lists(st.tuples(passages(), passages()), min_size=1, max_size=3))
def test_the_numbers_add_up(both):
    gold, found = map(list, zip(*both, strict=True))
    result = score_found(gold, found, ONTOLOGY)
    for name, relations in (
        ("relevant_or_uncertain", ("relevant", "uncertain")),
        ("relevant", ("relevant",)),
    ):
        s = result[name]
        assert s["gold"] == sum(len(called(p, relations)) for p in gold)
        assert s["gold"] == s["right"] + sum(s["missed"].values())
        assert s["found"] == s["right"] + sum(s["extra"].values())
        ours = [r for p in found for r in p.relations if r.relation in relations]
        assert s["found"] + s["set_aside"] == len(ours)
        assert s["precision"] == pytest.approx(s["right"] / s["found"] if s["found"] else 0)
        assert s["recall"] == pytest.approx(s["right"] / s["gold"] if s["gold"] else 0)
        assert s["recall"] >= s["same_terms_only"]["recall"]


@given(st.data())
def test_with_the_gold_spans_only_relations_are_lost(data):
    """Then the figures are the plain ones."""
    gold = data.draw(passages())
    keep = tuple(m for m in gold.mentions if m.term != "no label at all")
    gold = data.draw(decided(replace(gold, mentions=keep)))
    found = data.draw(decided(gold))

    result = score_found([gold], [found], ONTOLOGY)

    a, b = ([RELATIONS.index(r.relation) for r in p.relations] for p in (gold, found))
    plain = {"relevant_or_uncertain": binary_scores(a, b), "relevant": scores(a, b)["relevant"]}
    for name, figures in result.items():
        wrong = figures["missed"]["relation"], figures["extra"]["relation"]
        assert (sum(figures["missed"].values()), sum(figures["extra"].values())) == wrong
        assert figures["set_aside"] == 0
        if name == "relevant":
            assert {k: figures[k] for k in plain[name]} == pytest.approx(plain[name])
            assert figures["same_terms_only"] == pytest.approx(plain[name])
        else:
            assert figures["f1"] == pytest.approx(plain[name]["f1"])


@given(gold=passages(), found=passages())
def test_counterparts_are_one_to_one_and_overlap(gold, found):
    alignment = align(gold, found, ONTOLOGY)
    ids = {b.id: b for b in gold.current}, {b.id: b for b in found.current}
    pairs = [(ids[0][j], ids[1][i]) for i, j in alignment.bookmarks.items()]
    pairs += [(gold.mentions[j], found.mentions[i]) for i, j in alignment.mentions.items()]
    assert all(a.start < b.end and b.start < a.end for a, b in pairs)
    assert len(set(alignment.bookmarks.values())) == len(alignment.bookmarks)
    assert len(set(alignment.mentions.values())) == len(alignment.mentions)


def score(pipeline, *lines):
    gold = [parse_markup(line, pipeline) for line in lines]
    return score_end_to_end(gold, load_model("rules"), ONTOLOGY)["relevant_or_uncertain"]


def lost(figures):
    return {
        f"{side} {why}": count
        for side in ("missed", "extra")
        for why, count in figures[side].items()
        if count
    }


@pytest.mark.parametrize(
    ("line", "right", "losses"),
    [
        ("{1:9 mm} {nodule|1} in the {lingula|1}.", 2, {}),
        ("{1:9 mm} {nodule|1} near the {liver|-}.", 1, {}),
        ("{1:Seen} {nodule|1} in the {lingula|1}.", 0, {"missed bookmark": 2}),
        ("9 mm {nodule|-} in the {lingula|-}.", 0, {"extra bookmark": 2}),
        ("{1:9 mm} {blob=nodule|1} in the {lingula|1}.", 1, {"missed mention": 1}),
        ("{1:9 mm} nodule in the {lingula|1}.", 1, {"extra mention": 1}),
        ("{1:9 mm} {nodule|1} near the {liver|1}.", 1, {"missed relation": 1}),
        ("{1:9 mm} {nodule|1} in the {lingula|-}.", 1, {"extra relation": 1}),
        ("{1:Seen} {blob=nodule|1}.", 0, {"missed bookmark": 1}),
    ],
)
def test_each_lost_pair_has_one_reason(line, right, losses, pipeline):
    figures = score(pipeline, line)
    assert figures["right"] == right
    assert lost(figures) == losses


def test_a_prior_is_no_bookmark_of_this_study(pipeline):
    line = "{1:9 mm} {nodule|1} in the {lingula|1}, previously {p:4 mm}."
    assert (score(pipeline, line)["found"], lost(score(pipeline, line))) == (2, {})
    taken = "9 mm {nodule|-}, {p:4 mm}."
    assert set(lost(score(pipeline, taken))) == {"extra bookmark"}


@pytest.mark.parametrize(
    ("line", "right"),
    [
        # A finer label stands for the gold one, as it states it.
        ("{1:9 mm} {nodule|1} in the {right lung=right lung|1} lower lobe.", 2),
        # Put together from words apart; the guide's own example.
        ("{1:9 mm} {hilar=hilum|1} and {mediastinal lymph nodes|1}.", 2),
        ("{1:9 mm} {nodule|1} in the {right lung|1}.", 2),
        # Both sides of one word.
        ("{1:9 mm} {nodules|1} in the {lungs|1}.", 2),
        # A phrase finer than the labels states labels that the annotation does not hold.
        ("{1:9 mm} {thrombus|1} of the {left renal artery=left renal artery|1}.", 0),
    ],
)
def test_what_the_annotation_cannot_hold_is_set_aside(line, right, pipeline):
    figures = score(pipeline, line)
    assert figures["right"] == right
    assert lost(figures) == {}
    assert figures["same_terms_only"]["f1"] <= figures["f1"]


def test_a_wrong_label_as_written_is_not_set_aside(pipeline):
    figures = score(pipeline, "{1:9 mm} {mass=liver|1}.")
    assert lost(figures) == {"missed mention": 1, "extra mention": 1}


def test_items_are_found_as_predict_finds_them(pipeline):
    found = find_items(parse_markup("{1:Seen} 9 mm nodule in the lingula.", pipeline))
    text = found.report.text
    assert [text[b.start : b.end] for b in found.bookmarks] == ["9 mm"]
    assert [m.term for m in found.mentions] == ["nodule", "lingula"]
