import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vision.errors import InputError
from vision.lesanet import LesaNetOutput
from vision.losses.likeness import LesionTraits, LikenessTriplet, likeness, traits_of
from vision.targets import targets_of


def example(n, seed):
    rng = torch.Generator().manual_seed(seed)
    nothing = torch.zeros(n, 0, dtype=torch.bool)
    traits = LesionTraits(
        positive=nothing,
        known=nothing,
        reliable=nothing,
        parts=torch.rand(n, 2, generator=rng) < 0.6,
        places=torch.rand(n, 2, generator=rng) / 6,
        sizes_mm=10 + 4 * torch.rand(n, 2, generator=rng),
    )
    embeddings = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    return F.normalize(embeddings, dim=1), traits


def loss_of(embeddings, traits, **settings):
    losses = LikenessTriplet(**settings)(
        LesaNetOutput(embeddings=embeddings), traits, generator=torch.Generator().manual_seed(0)
    )
    assert list(losses) == ["total", "likeness"]
    assert losses["total"] is losses["likeness"]
    return losses["total"]


def slow_level(traits, i, j):
    if not set(traits.parts[i].nonzero().flatten().tolist()) & set(
        traits.parts[j].nonzero().flatten().tolist()
    ):
        return 0
    if math.dist(traits.places[i].tolist(), traits.places[j].tolist()) >= 0.1:
        return 1
    logs = [[math.log(side) for side in traits.sizes_mm[k].tolist()] for k in (i, j)]
    return 3 if math.dist(*logs) < math.log(1.3) else 2


def slow_loss(embeddings, levels):
    """The mean over triplets, each as probable as when it is drawn, in Python floats."""
    n, total, weight = len(embeddings), 0.0, 0.0
    squares = [[math.dist(a, b) ** 2 for b in embeddings.tolist()] for a in embeddings.tolist()]
    margins = [0.0, 0.4, 0.6, 0.7]
    for a in range(n):
        partners = [b for b in range(n) if b != a and levels[a][b] >= 1]
        for b in partners:
            less = [c for c in range(n) if c != a and levels[a][c] < levels[a][b]]
            for c in less:
                margin = margins[levels[a][b]] - margins[levels[a][c]]
                share = 1 / len(partners) / len(less)
                total += share * max(0.0, squares[a][b] - squares[a][c] + margin)
                weight += share
    return total / weight if weight else 0.0


batches = {"n": st.integers(0, 7), "seed": st.integers(0, 2**16)}


@given(**batches)
def test_levels_match_the_rule(n, seed):
    _, traits = example(n, seed)
    expected = [[slow_level(traits, i, j) for j in range(n)] for i in range(n)]
    assert likeness(traits).tolist() == expected


@given(**batches)
def test_expectation_matches_the_formula(n, seed):
    embeddings, traits = example(n, seed)
    expected = slow_loss(embeddings, likeness(traits).tolist())
    assert loss_of(embeddings, traits, exact=True).item() == pytest.approx(expected, abs=1e-5)


def test_triplets_that_are_drawn_come_near_the_expectation():
    embeddings, traits = example(12, 3)
    expected = loss_of(embeddings, traits, exact=True).item()
    assert {*likeness(traits).flatten().tolist()} == {0, 1, 2, 3}
    drawn = loss_of(embeddings, traits, triplets=200_000).item()
    assert drawn == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("exact", [True, False])
def test_gradient(exact):
    embeddings, traits = example(6, 1)
    assert torch.autograd.gradcheck(
        lambda x: loss_of(x, traits, triplets=50, exact=exact), embeddings.requires_grad_()
    )


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_without_a_triplet_is_zero(n, exact):
    embeddings, traits = example(n, 0)
    traits.parts[:] = False
    loss = loss_of(embeddings.requires_grad_(), traits, exact=exact)
    loss.backward()
    assert loss.item() == 0


def test_traits_come_from_labels_and_boxes(tiny):
    data = tiny.TinyData(2)
    data.relevant[:] = torch.tensor([[False, True, False, True, False], [False] * 2 + [True] * 3])
    data.boxes_px = torch.tensor([[10.0, 10, 30, 70], [0.0, 0, 20, 8]])
    data.image_boxes_px = torch.tensor([[0.0, 0, 100, 40], [100.0, 60, 200, 80]])
    targets = targets_of(data.relevant, data.uncertain, data.irrelevant, data.space)
    traits = traits_of(data, targets)
    assert traits.parts.tolist() == [[True, False], [False, True]]  # chest and liver
    assert traits.sizes_mm.tolist() == [[60, 20], [20, 8]]
    assert traits.places.tolist() == [[0.25, 0.25], [0.75, 0.875]]
    assert traits[[1]].positive.equal(targets.positive[[1]])
    assert traits[[1]].to("cpu").places.tolist() == [[0.75, 0.875]]


def test_lesions_without_a_body_part_are_told(tiny):
    data = tiny.TinyData(3)
    data.relevant[:, :3] = False
    targets = targets_of(data.relevant, data.uncertain, data.irrelevant, data.space)
    with pytest.raises(InputError, match="No lesion has a body part"):
        traits_of(data, targets)
