"""The label space against the reference's numbers, on a made-up ontology."""

import csv

import pytest
import torch

from nlp.ontology import Ontology
from vision.labels import LabelSpace
from vision.targets import targets_of


@pytest.fixture
def published(numbers):
    """The authors' own lists: neither closed nor symmetric, so no checks."""
    fixture = numbers("ontology")
    size = len(fixture["terms"])
    return fixture, LabelSpace(
        names=tuple(fixture["terms"]),
        classes=("type",) * size,
        ancestors=rows(fixture["parent_index_lists"], size),
        exclusives=rows(fixture["reference_exclusive_index_lists"], size),
    )


@pytest.fixture
def ours(numbers, tmp_path):
    """Our closure of the columns that their lists were made from."""
    fixture = numbers("ontology")
    terms, path = fixture["terms"], tmp_path / "ontology.csv"
    columns = (terms, fixture["parents_column"], fixture["exclusive_column"])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("term", "class", "parents", "exclusive"))
        for term, parents, exclusive in zip(*columns, strict=True):
            known = [e for e in exclusive if e in terms]
            writer.writerow((term, "type", "|".join(parents), "|".join(known)))
    ontology = Ontology.from_csv(path)
    lists = (
        [[terms.index(other) for other in related[term]] for term in terms]
        for related in (ontology.ancestors, ontology.exclusions)
    )
    return fixture, LabelSpace.from_index_lists(terms, ["type"] * len(terms), *lists)


def rows(lists, size):
    matrix = torch.zeros(len(lists), size, dtype=torch.bool)
    for row, indices in enumerate(lists):
        matrix[row, torch.tensor(indices, dtype=torch.long)] = True
    return matrix


def lists(matrix):
    return [row.nonzero().flatten().tolist() for row in matrix]


def test_the_closure_is_the_symmetric_one(ours):
    fixture, space = ours

    assert space.exclusives.triu().nonzero().tolist() == fixture["distinct_undirected_pairs"]


def test_expansion_reaches_every_ancestor(ours):
    fixture, space = ours
    expected = [case["full_closure"] for case in fixture["expansion"]]

    predicted = rows([case["predicted"] for case in fixture["expansion"]], len(space))

    assert lists(space.expand(predicted)) == expected


def test_our_exclusives_hold_the_references_and_what_it_left_one_sided(ours, published):
    fixture, space = ours
    _, reference = published

    assert int(reference.exclusives.sum()) == fixture["reference_directed_entries"]
    assert torch.equal(reference.exclusives | reference.exclusives.T, space.exclusives)


def test_targets_follow_the_references_rules_on_its_lists(published):
    fixture, space = published
    cases = fixture["training_targets"]
    relevant = rows([case["labels"] for case in cases], len(space))
    uncertain = rows([case["uncertain_labels"] for case in cases], len(space))

    targets = targets_of(
        relevant, uncertain, torch.zeros_like(relevant), space, positives="R", expansion=False
    )

    assert lists(targets.positive) == [case["target"] for case in cases]
    assert lists(~targets.known) == [case["ignored"] for case in cases]
    negative = targets.reliable & ~targets.positive
    assert lists(negative) == [case["exclusive_negative"] for case in cases]
