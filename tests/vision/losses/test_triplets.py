from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vision.losses.triplets import (
    MultilabelTriplet,
    distances,
    expected_loss,
    label_similarity,
    sample_triplets,
)


def example(n, c, seed, share=0.4):
    rng = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, 6, generator=rng, dtype=torch.float64)
    return F.normalize(embeddings, dim=1), torch.rand(n, c, generator=rng) < share


def candidates(similarity, anchor, theta):
    """The authors' rule, in Python: partners of an anchor, and for each those less similar."""
    others = [i for i in range(len(similarity)) if i != anchor]
    row = similarity[anchor]
    partners = [i for i in others if row[i] >= theta] or [max(others, key=lambda i: row[i])]
    return {
        partner: [i for i in others if row[i] < row[partner]] or [min(others, key=lambda i: row[i])]
        for partner in partners
    }


def slow_triplets(similarity, count, theta, rng):
    """Draw triplets one by one by the authors' rule, with NumPy."""
    places = np.arange(len(similarity))
    triplets = []
    for _ in range(count):
        anchor = rng.choice(places)
        row, others = similarity[anchor], places[places != anchor]
        similar = others[row[others] >= theta]
        partner = rng.choice(similar) if len(similar) else others[row[others].argmax()]
        less = others[row[others] < row[partner]]
        third = rng.choice(less) if len(less) else others[row[others].argmin()]
        triplets.append((anchor, partner, third))
    return triplets


def probabilities(similarity, theta):
    """The probability of each triplet under the rule."""
    rows = similarity.tolist()
    shares = Counter()
    for anchor in range(len(rows)):
        by_partner = candidates(rows, anchor, theta)
        for partner, less in by_partner.items():
            for third in less:
                shares[anchor, partner, third] = 1 / (len(rows) * len(by_partner) * len(less))
    return shares


batches = {"n": st.integers(2, 7), "c": st.integers(1, 5), "seed": st.integers(0, 2**16)}


@given(**batches)
def test_similarity_matches_the_formula(n, c, seed):
    _, targets = example(n, c, seed)
    sets = [set(row.nonzero().flatten().tolist()) for row in targets]
    expected = [[len(x & y) ** 2 / len(x | y) if x | y else 0 for y in sets] for x in sets]
    torch.testing.assert_close(label_similarity(targets), torch.tensor(expected).float())


@given(**batches, theta=st.sampled_from([0.0, 0.5, 1.0]))
def test_triplets_follow_the_rule(n, c, seed, theta):
    similarity = label_similarity(example(n, c, seed)[1])
    generator = torch.Generator().manual_seed(seed)

    drawn = sample_triplets(similarity, 500, theta=theta, generator=generator)

    assert set(zip(*(t.tolist() for t in drawn), strict=True)) <= set(
        probabilities(similarity, theta)
    )


def test_triplets_are_drawn_as_often_as_one_by_one():
    similarity = label_similarity(example(8, 5, seed=3)[1])
    expected = probabilities(similarity, theta=1)
    count = 200_000
    generator = torch.Generator().manual_seed(0)

    drawn = sample_triplets(similarity, count, generator=generator)

    for counts in (
        Counter(zip(*(t.tolist() for t in drawn), strict=True)),
        Counter(slow_triplets(similarity.numpy(), count // 10, 1, np.random.RandomState(0))),
    ):
        for triplet, share in expected.items():
            spread = (share * (1 - share) / counts.total()) ** 0.5
            assert counts[triplet] / counts.total() == pytest.approx(share, abs=5 * spread)


@given(**batches)
def test_expectation_matches_the_formula(n, c, seed):
    embeddings, targets = example(n, c, seed)
    similarity = label_similarity(targets)

    loss = MultilabelTriplet(exact=True)(embeddings, targets)

    expected = 0.0
    for (a, p, b), share in probabilities(similarity, theta=1).items():
        near, far = ((embeddings[a] - embeddings[i] + 1e-6).norm() for i in (p, b))
        expected += share * max(0.0, (near - far + 0.1).item())
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_loss_is_the_mean_over_triplets_and_near_its_expectation():
    embeddings, targets = example(12, 6, seed=0)

    sampled = MultilabelTriplet()(embeddings, targets, generator=torch.Generator().manual_seed(0))

    a, p, n = sample_triplets(
        label_similarity(targets), 5_000, generator=torch.Generator().manual_seed(0)
    )
    torch_loss = F.triplet_margin_loss(embeddings[a], embeddings[p], embeddings[n], margin=0.1)
    assert sampled.item() == pytest.approx(torch_loss.item(), rel=1e-9)
    expected = expected_loss(distances(embeddings), label_similarity(targets))
    assert sampled.item() == pytest.approx(expected.item(), rel=0.05)


@pytest.mark.parametrize("exact", [True, False])
def test_gradient(exact):
    embeddings, targets = example(6, 5, seed=0)
    triplet = MultilabelTriplet(triplets=50, exact=exact)

    def loss(x):
        return triplet(x, targets, generator=torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(loss, embeddings.requires_grad_())


@pytest.mark.parametrize("exact", [True, False])
def test_equal_lesions_have_a_finite_gradient(exact):
    embeddings = F.normalize(torch.ones(4, 3), dim=1).requires_grad_()
    targets = torch.eye(4, dtype=torch.bool)

    loss = MultilabelTriplet(exact=exact)(embeddings, targets)
    loss.backward()

    assert loss.item() == pytest.approx(0.1)
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("lesions", [0, 1])
@pytest.mark.parametrize("exact", [True, False])
def test_too_few_lesions_for_a_triplet_is_zero(lesions, exact):
    embeddings = torch.randn(lesions, 3, requires_grad=True)
    loss = MultilabelTriplet(exact=exact)(embeddings, torch.ones(lesions, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
