import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.lesanet import LesaNetOutput
from vision.losses.warp import WarpLoss, draw_violators, labels_below
from vision.targets import Targets


def example(n, c, seed):
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, c, generator=rng, dtype=torch.float64)
    positive, known = (torch.rand(2, n, c, generator=rng) < 0.6).unbind()
    above = (torch.rand(c, c, generator=rng) < 0.4).tril(-1)
    return logits, positive, known | positive, above


def loss_of(logits, positive, known, ancestors, *, exact=True, seed=0):
    loss = WarpLoss(ancestors, exact=exact)(
        LesaNetOutput(scores=logits),
        Targets(positive=positive, known=known, reliable=known),
        generator=torch.Generator().manual_seed(seed),
    )
    assert list(loss) == ["total", "warp"]
    assert loss["total"] is loss["warp"]
    return loss["total"]


def slow_pairs(logits, positive, known, ancestors):
    """For each positive: how many labels belong below it, and the margins of those too close."""
    for i, j in positive.nonzero().tolist():
        below = [
            k
            for k in range(logits.shape[1])
            if (known[i, k] and not positive[i, k]) or (positive[i, k] and ancestors[j, k])
        ]
        margins = [1 - logits[i, j].item() + logits[i, k].item() for k in below]
        yield len(below), [margin for margin in margins if margin > 0]


def harmonic(rank):
    return math.fsum(1 / i for i in range(1, rank + 1))


def slow_loss(*inputs):
    """Gong et al. (2014), eq. 4, with the true ranks, in Python floats."""
    terms = [
        harmonic(len(margins)) * sum(margins) / max(len(margins), 1)
        for _, margins in slow_pairs(*inputs)
    ]
    return sum(terms) / max(len(terms), 1)


def slow_expectation(*inputs):
    """The mean of the sampled loss: over the number of draws, and over what they find."""
    terms = []
    for count, margins in slow_pairs(*inputs):
        chance = len(margins) / max(count, 1)
        terms.append(
            sum(
                (1 - chance) ** (n - 1) * chance * harmonic(count // n) * sum(margins)
                for n in range(1, count + 1)
            )
            / max(len(margins), 1)
        )
    return sum(terms) / max(len(terms), 1)


batches = {"n": st.integers(0, 4), "c": st.integers(1, 6), "seed": st.integers(0, 2**16)}


@given(**batches)
def test_exact_ranks_match_the_formula(n, c, seed):
    inputs = example(n, c, seed)
    assert loss_of(*inputs).item() == pytest.approx(slow_loss(*inputs), rel=1e-9)


def test_sampled_ranks_have_the_expectation_of_the_formula():
    inputs = example(5, 8, seed=1)
    many = [values.repeat(4000, 1) for values in inputs[:3]]
    found = loss_of(*many, inputs[3], exact=False).item()
    assert found == pytest.approx(slow_expectation(*inputs), rel=0.01)


@given(**batches)
def test_only_violators_below_are_drawn(n, c, seed):
    _, positive, known, ancestors = example(n, c, seed)
    below = labels_below(positive, known, ancestors)
    violates = below & (torch.rand(below.shape) < 0.5)
    ranks, drawn = draw_violators(violates, below, generator=torch.Generator().manual_seed(seed))
    assert not (drawn & ~violates).any()
    assert drawn.sum(1).equal((ranks > 0).long())
    assert (ranks <= below.sum(1)).all()


@pytest.mark.parametrize("exact", [True, False])
def test_unknown_pairs_do_not_teach(exact):
    logits, positive, _, ancestors = example(4, 6, seed=2)
    known = positive.clone()
    known[:, 0] = True
    loss = loss_of(logits.requires_grad_(), positive, known, ancestors & False, exact=exact)
    loss.backward()
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[positive] != 0).any()


def test_the_fine_ranks_above_the_coarse():
    ancestors = torch.tensor([[False, False], [True, False]])  # 0 lies above 1
    positive = torch.ones(1, 2, dtype=torch.bool)
    for scores, expected in ([0.0, 2.0], 0), ([0.0, 0.5], 0.25), ([2.0, 0.0], 1.5):
        loss = loss_of(torch.tensor([scores]), positive, positive, ancestors)
        assert loss.item() == pytest.approx(expected)


def test_only_differences_of_scores_matter():
    logits, *rest = example(3, 5, seed=0)
    shifted = logits + torch.randn(3, 1, dtype=torch.float64)
    assert loss_of(shifted, *rest).item() == pytest.approx(loss_of(logits, *rest).item())


@pytest.mark.parametrize("exact", [True, False])
def test_gradient(exact):
    logits, *rest = example(3, 5, seed=4)
    assert torch.autograd.gradcheck(
        lambda x: loss_of(x, *rest, exact=exact), logits.requires_grad_()
    )


@pytest.mark.parametrize("exact", [True, False])
def test_without_a_positive_is_zero(exact):
    logits, positive, known, ancestors = example(3, 5, seed=0)
    loss = loss_of(logits.requires_grad_(), positive & False, known, ancestors, exact=exact)
    loss.backward()
    assert loss.item() == 0


def test_same_generator_same_loss():
    inputs = example(6, 9, seed=5)
    first = loss_of(*inputs, exact=False, seed=1)
    assert first == loss_of(*inputs, exact=False, seed=1) != loss_of(*inputs, exact=False, seed=2)
