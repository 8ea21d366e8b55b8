"""The rule model: cases that one could argue about, each with its reason."""

import pytest

from nlp.records import RELATIONS
from nlp.relations import classify_relations, load_model, pairs_of
from nlp.relations.corpus import parse_markup

# In the corpus' markup, so that each case says what it expects.
CASES = [
    "{1:9 mm} {nodule|1} in the {lingula|1}.",
    "{1:9 mm} {nodule|1} without {calcification|-}.",
    "No {pleural effusion|-}; a {1:9 mm} {nodule|1}.",
    "A {1:9 mm} {nodule|1}, likely {granuloma|1?}.",
    "A {1:2 cm} {mass|1}, {cyst|1?} versus {abscess|1?}.",
    "CT {chest|-}: a {nodule|1} of {1:8 mm}.",
    "A {mass|1} {1:BOOKMARK} adjacent to the {spleen|-}.",
    "{1:8 mm} {nodule|1} in the {lingula|1} and {2:5 mm} {nodule|2} in the {right lower lobe|2}.",
    "{LIVER|1}: a {1:9 mm} {hypodense|1} {lesion=mass|1}.",
    "{Mass|1} {1:BOOKMARK}, previously {p:2 cm}, in the {pancreatic tail|1}.",
]


@pytest.fixture(scope="module")
def rules():
    return load_model("rules")


@pytest.mark.parametrize("line", CASES)
def test_relations(line, pipeline, rules):
    gold = parse_markup(line, pipeline)
    (predicted,) = classify_relations([gold], rules)
    wanted = {(r.bookmark, r.mention): r.relation for r in gold.relations}
    assert {(r.bookmark, r.mention): r.relation for r in predicted.relations} == wanted


def test_it_explains_itself(pipeline, rules):
    passage = parse_markup("{1:9 mm} {nodule|1} without {calcification|-}.", pipeline)
    relation, cue = rules.explain(passage, passage.current[0], passage.mentions[1])
    assert (relation, cue.context, cue.words) == ("irrelevant", "negated", "without")


def test_probabilities_sum_to_one_and_follow_the_pairs(pipeline, rules):
    passage = parse_markup(CASES[7], pipeline)
    (rows,) = rules.predict([passage])
    assert rows.shape == (len(pairs_of(passage)), len(RELATIONS))
    assert rows.sum(axis=1) == pytest.approx(1.0)


def test_a_sentence_without_mentions_has_no_pairs(pipeline, rules):
    passage = parse_markup("Seen at {1:9 mm}.", pipeline)
    (rows,) = rules.predict([passage])
    assert rows.shape == (0, 3)
