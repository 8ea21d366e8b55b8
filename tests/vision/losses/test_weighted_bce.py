import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.losses.weighted_bce import WeightedBCE, class_weights, cross_entropy


def reference_loss(logits, targets, known, pos_weight, neg_weight):
    """Eq. (1) of Yan et al. (2019), one pair at a time, in Python floats."""
    terms = []
    for i, c in known.nonzero().tolist():
        s = 1 / (1 + math.exp(-logits[i, c]))
        s = min(max(s, 1e-7), 1 - 1e-7)
        y, wp, wn = targets[i, c].item(), pos_weight[c].item(), neg_weight[c].item()
        terms.append(-(wp * y * math.log(s) + wn * (1 - y) * math.log(1 - s)))
    return sum(terms) / logits.numel()


def example(n, c, seed, scale=1.0):
    rng = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, c, generator=rng, dtype=torch.float64)
    targets, known = (torch.rand(2, n, c, generator=rng) < 0.5).unbind()
    return logits, targets, known, torch.rand(2, c, generator=rng, dtype=torch.float64)


@given(
    n=st.integers(1, 5),
    c=st.integers(1, 4),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1.0, 30.0]),
)
def test_matches_the_formula(n, c, seed, scale):
    logits, targets, known, weights = example(n, c, seed, scale)

    loss = WeightedBCE(*weights)(logits, targets, known)

    expected = reference_loss(logits, targets, known, *weights)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_single_precision_keeps_the_loss_of_saturated_pairs():
    logits = torch.tensor([[15.5, -15.5, 40.0]])
    targets = torch.tensor([[False, True, False]])

    loss = cross_entropy(logits, targets)

    assert loss[0].tolist() == pytest.approx([15.5, 15.5, math.log(1e7)], rel=1e-6)


def test_gradient():
    logits, targets, known, weights = example(4, 3, seed=0)
    loss = WeightedBCE(*weights)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, known), logits.requires_grad_())


def test_saturated_pairs_have_no_gradient():
    logits = torch.tensor([[40.0, -40.0, 3.0]], requires_grad=True)
    targets, known = torch.tensor([[False, True, False]]), torch.ones(1, 3, dtype=torch.bool)

    WeightedBCE(torch.ones(3), torch.ones(3))(logits, targets, known).backward()

    assert (logits.grad != 0).tolist() == [[False, False, True]]


def test_unknown_labels_do_not_teach_but_count():
    logits, targets, known, weights = example(4, 3, seed=1)
    logits.requires_grad_()

    WeightedBCE(*weights)(logits, targets, known).backward()

    assert ((logits.grad != 0) == known).all()
    half = WeightedBCE(*weights)(logits, targets, known)
    assert half < WeightedBCE(*weights)(logits, targets, torch.ones_like(known))


@pytest.mark.parametrize("lesions", [0, 3])
def test_nothing_known_is_zero(lesions):
    nothing = torch.zeros(lesions, 2, dtype=torch.bool)
    loss = WeightedBCE(torch.ones(2), torch.ones(2))(torch.randn(lesions, 2), nothing, nothing)
    assert loss.item() == 0


def test_weights_move_with_the_module():
    loss = WeightedBCE(torch.ones(2), torch.ones(2)).to(torch.float64)
    assert [buffer.dtype for buffer in loss.buffers()] == [torch.float64] * 2


@given(n=st.integers(1, 30_000), share=st.floats(0, 1))
def test_class_weights_match_the_formula(n, share):
    p = round(share * n)

    pos, neg = class_weights(torch.tensor([p]), n)

    assert pos.item() == pytest.approx(min(300, n / (2 * p)) if p else 300, rel=1e-6)
    assert neg.item() == pytest.approx(min(300, n / (2 * (n - p))) if n > p else 300, rel=1e-6)
