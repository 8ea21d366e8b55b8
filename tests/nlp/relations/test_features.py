import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.relations.corpus import parse_markup
from nlp.relations.encoding import encode
from nlp.relations.features import _OFFSETS, FEATURES, KINDS, SCOPES, _shapes, pair_features

FIRST = _OFFSETS  # the row of each feature's first value
NAMES = ("word", "bodypart", "type", "attribute", "measurement", "slice", "negation")


@pytest.fixture
def encoded(pipeline, ontology):
    return lambda line: encode([parse_markup(line, pipeline)], ontology)[0]


def shapes(names, parts):
    return _shapes(np.array([KINDS.index(name) for name in names]), np.array(parts)).tolist()


def distinct(encoded, feature):
    """A feature's values by the words of the mention's label and the bookmark's place."""
    return {
        (encoded.items.terms[mention], bookmark): row[feature]
        for (bookmark, mention), row in zip(encoded.pairs, encoded.features, strict=True)
    }


@given(
    st.lists(st.sampled_from(NAMES), min_size=2, max_size=12),
    st.lists(st.sampled_from([",", "and", ".", "liver", ";"]), min_size=12, max_size=12),
    st.data(),
)
def test_every_feature_is_a_row_of_the_table(ontology, names, words, data):
    marks = [i for i, name in enumerate(names) if name in ("measurement", "slice")]
    mentions = [i for i, name in enumerate(names) if name in ("bodypart", "type", "attribute")]
    pairs = [(bookmark, mention) for bookmark in marks for mention in mentions]
    terms = [data.draw(st.sampled_from(["liver", "lung", "mass"])) for _ in names]
    scopes = [data.draw(st.integers(0, len(SCOPES) - 1)) for _ in names]
    kinds = [KINDS.index(name) for name in names]
    sentence = (words[: len(names)], kinds, terms, scopes, pairs)
    alone, *_ = pair_features(*([part] for part in sentence), ontology)
    assert len(alone) == len(pairs)
    for row in alone.tolist():
        assert row == sorted(set(row))  # each feature has a part of the table of its own
        assert all(0 <= value < FEATURES for value in row)
    company = (["9", "mass"], [6, 2], ["", "mass"], [0, 0], [(0, 1)])
    _, between, _ = pair_features(*zip(company, sentence, company, strict=True), ontology)
    assert np.array_equal(alone, between)


@given(st.lists(st.sampled_from(NAMES), min_size=2, max_size=12), st.data())
def test_the_nearest_bookmark_and_those_between_are_those_counted_one_by_one(ontology, names, data):
    current = [i for i, name in enumerate(names) if name in ("measurement", "slice")]
    mentions = [i for i, name in enumerate(names) if name in ("bodypart", "type", "attribute")]
    pairs = [(bookmark, mention) for bookmark in current for mention in mentions]
    words = [data.draw(st.sampled_from([",", "and", "liver", ";"])) for _ in names]
    blank = [[""] * len(names)], [[0] * len(names)]
    kinds = [KINDS.index(name) for name in names]
    found, *_ = pair_features([words], [kinds], *blank, [pairs], ontology)

    def far(a, b):
        return abs(a - b) + 2 * sum(w != "liver" for w in words[min(a, b) : max(a, b)])

    def between(a, b):
        return sum(min(a, b) < c < max(a, b) for c in current)

    for (bookmark, mention), row in zip(pairs, found, strict=True):
        nearest = all(far(bookmark, mention) <= far(c, mention) for c in current)
        assert row[4] - FIRST[4] == nearest
        assert row[1] - FIRST[1] == min(between(bookmark, mention), 2)


def test_what_excludes_a_place_and_lies_nearer_is_seen(encoded):
    found = encoded("{1:9 mm} {cyst|1} of the {liver|1} near the {spleen|-}.")
    excluding = distinct(found, -3)
    assert excluding["spleen", 0] != excluding["liver", 0]
    assert excluding["cyst", 0] not in (excluding["spleen", 0], excluding["liver", 0])


def test_what_is_of_one_branch_is_seen(encoded):
    akin = distinct(encoded("{LUNG|1}: {1:9 mm} {cyst|1} of the {lingula|1}."), -2)
    assert akin["lung", 2] != akin["cyst", 2]


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (["bodypart", "measurement", "bodypart", "slice"], 3),  # lingula 4 mm, left base (4:32)
        (["measurement", "bodypart", "measurement", "bodypart"], 2),
        (["bodypart", "measurement", "word", "bodypart"], 4),
        (["measurement", "type", "bodypart", "slice"], 1),
        (["type", "word"], 0),
    ],
)
def test_a_list_begins_and_ends_with_places_or_bookmarks(names, shape):
    assert shapes(names, [0] * len(names)) == [shape] * len(names)


def test_each_part_of_a_sentence_has_a_shape():
    names = ["bodypart", "slice", "word", "slice", "bodypart"]
    assert shapes(names, [0, 0, 0, 1, 1]) == [3, 3, 3, 2, 2]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("{1:9 mm} {liver|1}, {2:8 mm} {spleen|2}", 2),  # the liver's bookmark has it nearer
        ("{1:9 mm} {spleen|-} {liver|1}.", 1),
        ("{spleen|-} {liver|1} {spleen|-} {1:9 mm} {spleen|-} {kidney|-} {spleen|-}.", 3),
        ("{1:9 mm} {mass|1} {liver|1}.", 0),
    ],
)
def test_what_excludes_lies_nearer_or_farther(encoded, line, place):
    found = encoded(line)
    liver = next(m for _, m in found.pairs if found.items.terms[m] == "liver")
    assert found.features[found.pairs.index((found.pairs[0][0], liver))][13] - FIRST[13] == place
