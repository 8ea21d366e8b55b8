import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.relations.corpus import parse_markup
from nlp.relations.encoding import encode
from nlp.relations.features import (
    FEATURES,
    SCOPES,
    _between,
    _nearer_and_farther,
    _shapes,
    pair_features,
    rows_of,
)

NAMES = ("word", "bodypart", "type", "attribute", "measurement", "slice", "negation")


@pytest.fixture
def encoded(pipeline, ontology):
    return lambda line: encode(parse_markup(line, pipeline), ontology)


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
    scopes = [data.draw(st.sampled_from(SCOPES)) for _ in names]
    rows = pair_features(words[: len(names)], names, terms, scopes, pairs, ontology)
    assert len(rows) == len(pairs)
    for row in rows_of(rows).tolist() if rows else []:
        assert row == sorted(set(row))  # each feature has a part of the table of its own
        assert all(0 <= value < FEATURES for value in row)


@given(st.lists(st.integers(0, 20), unique=True), st.integers(0, 20), st.integers(0, 20))
def test_between_counts(places, start, end):
    assert _between(sorted(places), start, end) == sum(start <= p < end for p in places)


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
    assert _shapes(names, []) == [shape] * (len(names) + 1)


def test_each_part_of_a_sentence_has_a_shape():
    names = ["bodypart", "slice", "word", "slice", "bodypart"]
    assert _shapes(names, [2])[:5] == [3, 3, 3, 2, 2]


def test_nearer_and_farther():
    assert _nearer_and_farther([], 5, 3) == 0
    assert _nearer_and_farther([4], 5, 3) == 1
    assert _nearer_and_farther([9], 5, 3) == 2
    assert _nearer_and_farther([4, 8], 5, 3) == 3
