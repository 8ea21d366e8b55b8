import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.losses.hard_examples import HardExampleMining


def example(n, c, seed):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, c, generator=rng, dtype=torch.float64)
    targets, reliable = (torch.rand(2, n, c, generator=rng) < 0.5).unbind()
    return logits, targets, reliable


def reference_expectation(logits, targets, reliable, gamma):
    """Eq. (2) of Yan et al. (2019), one pair at a time: the mean over all draws."""
    difficulties, losses = [], []
    for i, c in reliable.nonzero().tolist():
        s, y = 1 / (1 + math.exp(-logits[i, c])), targets[i, c].item()
        difficulties.append(abs(s - y) ** gamma)
        losses.append(-math.log(s if y else 1 - s))
    total = sum(difficulties)
    weighted = zip(difficulties, losses, strict=True)
    return sum(d * loss for d, loss in weighted) / total if total else 0.0


@given(
    n=st.integers(1, 5),
    c=st.integers(1, 4),
    seed=st.integers(0, 2**16),
    gamma=st.sampled_from([0.0, 1.0, 2.0]),
)
def test_expectation_matches_the_formula(n, c, seed, gamma):
    logits, targets, reliable = example(n, c, seed)

    loss = HardExampleMining(gamma=gamma, exact=True)(logits, targets, reliable)

    expected = reference_expectation(logits, targets, reliable, gamma)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_draws_have_the_expectation_as_mean():
    logits, targets, reliable = example(5, 8, seed=0)
    generator = torch.Generator().manual_seed(0)
    mining = HardExampleMining(draws=1_000_000)

    loss = mining(logits, targets, reliable, generator=generator)

    expected = reference_expectation(logits, targets, reliable, gamma=2)
    assert loss.item() == pytest.approx(expected, rel=5e-3)


def test_same_generator_same_draws():
    logits, targets, reliable = example(5, 8, seed=0)
    mining = HardExampleMining(draws=100)
    first, second, other = (
        mining(logits, targets, reliable, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_no_gradient_flows_through_the_drawing():
    logits, targets, reliable = example(4, 3, seed=0)
    logits.requires_grad_()
    mining = HardExampleMining(exact=True)

    mining(logits, targets, reliable).backward()

    share = mining.difficulty(logits, targets, reliable)
    expected = share / share.sum() * (logits.sigmoid() - targets.double())
    torch.testing.assert_close(logits.grad, expected.detach(), rtol=1e-9, atol=0)


def test_gradient_of_what_was_drawn():
    logits, targets, reliable = example(4, 3, seed=0)
    mining = HardExampleMining(gamma=0, draws=200)  # gamma 0: the draws do not move with logits

    def loss(x):
        return mining(x, targets, reliable, generator=torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


def test_only_reliable_pairs_teach():
    logits, targets, reliable = example(6, 5, seed=0)
    logits.requires_grad_()
    HardExampleMining()(logits, targets, reliable).backward()
    assert ((logits.grad != 0) <= reliable).all()


@pytest.mark.parametrize("lesions", [0, 3])
@pytest.mark.parametrize("exact", [True, False])
def test_nothing_reliable_is_zero(lesions, exact):
    logits = torch.randn(lesions, 2, requires_grad=True)
    nothing = torch.zeros(lesions, 2, dtype=torch.bool)

    loss = HardExampleMining(exact=exact)(logits, nothing, nothing)
    loss.backward()

    assert loss.item() == 0
    assert not logits.grad.any()
