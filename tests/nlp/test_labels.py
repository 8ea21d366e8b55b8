from hypothesis import given
from hypothesis import strategies as st

from nlp.labels import label_lists
from nlp.records import RELATIONS, Mention, Relation


def lists_of(pairs, ontology):
    mentions = tuple(Mention(term=term, start=0, end=1) for term, _ in pairs)
    relations = [
        Relation(bookmark="B1", mention=i, relation=relation, probabilities=(1.0, 0.0, 0.0))
        for i, (_, relation) in enumerate(pairs)
    ]
    return label_lists(relations, mentions, ontology)


def test_the_strongest_relation_of_a_label_counts(ontology):
    pairs = [("nodule", "irrelevant"), ("nodule", "relevant"), ("cyst", "uncertain")]
    lists = lists_of([*pairs, ("cyst", "irrelevant")], ontology)
    assert (lists.relevant, lists.uncertain, lists.irrelevant) == (("nodule",), ("cyst",), ())


def test_only_relevant_labels_are_expanded(ontology):
    lists = lists_of([("lingula", "relevant"), ("liver", "uncertain")], ontology)
    assert {"lingula", "left lung", "lung", "chest"} <= set(lists.expanded)
    assert "abdomen" not in lists.expanded


def test_negatives_exclude_a_relevant_label(ontology):
    lists = lists_of([("left lung", "relevant")], ontology)
    assert {"right lung", "liver"} <= set(lists.negative)
    assert "nodule" not in lists.negative


def test_a_contradiction_is_noted_and_both_labels_stay(ontology):
    lists = lists_of([("left lung", "relevant"), ("right lung", "relevant")], ontology)
    assert "left lung / right lung" in lists.conflicts
    assert {"left lung", "right lung"} <= set(lists.relevant)
    assert not {"left lung", "right lung"} & set(lists.negative)


def test_terms_outside_of_the_labels_are_left_out(ontology):
    assert lists_of([("moon", "relevant")], ontology).relevant == ()


@given(st.data())
def test_lists_are_apart_closed_and_without_unlogged_conflicts(ontology, data):
    pair = st.tuples(st.sampled_from(ontology.labels), st.sampled_from(RELATIONS))
    lists = lists_of(data.draw(st.lists(pair, max_size=8)), ontology)
    parts = [set(lists.relevant), set(lists.uncertain), set(lists.irrelevant)]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert set(lists.expanded) == ontology.expand(lists.relevant)
    assert not set(lists.negative) & set(lists.expanded)
    for a, b in ontology.conflicts(lists.expanded):
        assert f"{a} / {b}" in lists.conflicts
