"""The vote of the nearest lesions, against one by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vision.neighbours import NeighbourVote
from vision.targets import Targets


def example(lesions, labels, seed, *, neighbours=3):
    rng = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(lesions + 4, 5, generator=rng, dtype=torch.float64), dim=1)
    positive, known = (torch.rand(2, lesions, labels, generator=rng) < 0.6).unbind()
    known |= positive
    vote = NeighbourVote(lesions, 5, labels, neighbours=neighbours).double().eval()
    vote.remember(vectors[4:], Targets(positive=positive, known=known, reliable=known))
    return vote, vectors, positive, known


def slow_share(vector, remembered, has, known, neighbours):
    """The share of the nearest lesions that have a label, in Python floats."""
    distances = [math.dist(vector.tolist(), other.tolist()) for other in remembered]
    nearest = sorted(range(len(distances)), key=distances.__getitem__)[:neighbours]
    weights = {i: 1 / max(distances[i], 0.01) for i in nearest if known[i]}
    having = sum(weight for i, weight in weights.items() if has[i])
    return having / sum(weights.values()) if weights else 0.0


@given(lesions=st.integers(1, 7), labels=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_matches_the_formula(lesions, labels, seed):
    vote, vectors, positive, known = example(lesions, labels, seed)
    found = vote(vectors[:4]).sigmoid()
    for i, c in torch.ones(4, labels).nonzero().tolist():
        expected = slow_share(vectors[i], vectors[4:], positive[:, c], known[:, c], 3)
        expected = min(max(expected, 1e-7), 1 - 1e-7)
        assert found[i, c].item() == pytest.approx(expected, rel=1e-9)


def test_a_remembered_lesion_outvotes_the_others():
    vote, vectors, positive, known = example(6, 4, seed=0)
    found = vote(vectors[4:]).sigmoid() > 0.5
    assert found[known].equal(positive[known])


def test_while_training_no_one_votes():
    vote, vectors, *_ = example(6, 4, seed=0)
    assert vote.train()(vectors).eq(0).all()


def test_the_memory_is_saved():
    vote, vectors, *_ = example(6, 4, seed=0)
    again = NeighbourVote(6, 5, 4, neighbours=3).double().eval()
    again.load_state_dict(vote.state_dict())
    assert again(vectors).equal(vote(vectors))
