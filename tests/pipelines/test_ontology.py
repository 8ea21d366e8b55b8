import pytest

from nlp.errors import InputError
from pipelines.ontology import count_terms, describe_term, suggest_synonyms


def test_a_term_is_found_by_any_synonym():
    described = describe_term("GGO")
    assert described["term"] == "ground-glass opacity"
    assert described["class"] == "type"
    assert described["ancestors"] == ["opacity"]


def test_an_unknown_term_meets_similar_ones():
    with pytest.raises(InputError, match=r"Did you mean .*nodule"):
        describe_term("nodulle")


def test_sizes_of_the_shipped_table():
    counts = count_terms()
    assert (counts["labels"], counts["parent-child pairs"]) == (171, 137)


def test_frequent_phrases_that_no_term_covers_are_suggested(write_reports):
    reports = [(f"R{i}", f"P{i}", "A 9 mm spiculatd nodule. Zebra zebra.") for i in range(4)]
    (first, *_) = suggest_synonyms([write_reports(*reports)])
    assert (first.phrase, first.count) == ("spiculatd", 4)
    assert first.nearest[0][0] == "spiculated"
