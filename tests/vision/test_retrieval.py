"""Figures of retrieval, against sums written out over sets of labels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.losses.triplets import label_similarity
from vision.retrieval import pair_gains, score_retrieval


def sets(labels):
    return [{i for i, holds in enumerate(row) if holds} for row in labels.tolist()]


def similarity(x, y):
    """Eq. (3) of Yan et al. (2019)."""
    return len(x & y) ** 2 / len(x | y) if x | y else 0.0


def slow_scores(rows, queries, known, own, patients):
    """ACG and similarity of what was found, and of all pairs of two patients."""
    asked, there = sets(queries), sets(known)
    found = [
        (x, there[row]) for x, places in zip(asked, rows.tolist(), strict=True)
        for row in places if row >= 0
    ]  # fmt: skip
    everything = [
        (x, y) for x, p in zip(asked, own, strict=True)
        for y, other in zip(there, patients, strict=True) if p != other
    ]  # fmt: skip
    return [
        sum(gain(x, y) for x, y in pairs) / len(pairs)
        for pairs in (found, everything)
        for gain in (lambda x, y: len(x & y), similarity)
    ]


@given(
    seed=st.integers(0, 2**16), queries=st.integers(1, 300), lesions=st.integers(3, 9),
    labels=st.integers(1, 6), k=st.integers(1, 4),
)  # fmt: skip
def test_scores_agree_with_sets(seed, queries, lesions, labels, k):
    rng = torch.Generator().manual_seed(seed)
    asked = torch.rand(queries, labels, generator=rng) < 0.4
    known = torch.rand(lesions, labels, generator=rng) < 0.4
    rows = torch.randint(-1, lesions, (queries, k), generator=rng)
    rows[0, 0] = 0
    own, patients = [f"p{i % 3}" for i in range(queries)], [f"p{i % 5}" for i in range(lesions)]

    scores = score_retrieval(rows, asked, known, own, patients)

    expected = slow_scores(rows, asked, known, own, patients)
    found = (scores.acg, scores.similarity, scores.random_acg, scores.random_similarity)
    assert found == pytest.approx(expected, rel=1e-6)
    assert scores.pairs == (rows >= 0).sum()


def test_common_labels_are_counted_whatever_else_is_there():
    """Two of three and one of one in common: 1.5 on average; eq. (3) looks at the others too."""
    query = torch.tensor([[True, True, False, False]])
    known = torch.tensor([[True, True, True, False], [True, False, False, False]])

    scores = score_retrieval(torch.tensor([[0, 1]]), query, known, ["a"], ["b", "c"])

    assert scores.acg == 1.5
    assert scores.similarity == pytest.approx((4 / 3 + 1 / 2) / 2)


def test_similarity_to_others_is_a_part_of_the_similarity_of_all():
    labels = torch.rand(9, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    assert torch.equal(label_similarity(labels[:4], labels[4:]), label_similarity(labels)[:4, 4:])
    assert pair_gains(labels[:4], labels[4:]).shape == (2, 4, 5)


def test_nothing_retrieved_is_refused():
    labels = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="Nothing was retrieved"):
        score_retrieval(torch.tensor([[-1]]), labels, labels, ["a"], ["a"])
