import pytest
import torch
from torch.nn import functional as F

from vision.errors import InputError
from vision.lesanet import LesaNetOutput
from vision.losses import TERMS, LesaNetLoss, LossConfig
from vision.losses.hard_examples import HardExampleMining
from vision.targets import Targets


def example(n=6, c=5):
    rng = torch.Generator().manual_seed(0)
    positive, known, more = (torch.rand(3, n, c, generator=rng) < 0.5).unbind()
    output = LesaNetOutput(
        scores=torch.randn(n, c, generator=rng),
        refined_scores=torch.randn(n, c, generator=rng),
        embeddings=F.normalize(torch.randn(n, 4, generator=rng), dim=1),
    )
    return output, Targets(positive=positive, known=known | positive, reliable=positive | more)


def loss_of(seed=0, **config):
    loss = LesaNetLoss(torch.full((5,), 2.0), torch.ones(5), LossConfig(**config))
    return loss(*example(), generator=torch.Generator().manual_seed(seed))


def test_total_is_the_weighted_sum():
    losses = loss_of()
    assert list(losses) == ["total", *TERMS]
    expected = (
        losses["weighted_bce"]
        + losses["hard_examples"]
        + 5 * losses["triplets"]
        + losses["propagated"]
    )
    assert losses["total"].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("term", TERMS)
def test_each_term_can_be_switched_off(term):
    losses = loss_of(**{term: 0}, exact=True)
    assert list(losses) == ["total", *(other for other in TERMS if other != term)]
    every = loss_of(exact=True)
    weight = getattr(LossConfig(), term)
    expected = every["total"] - weight * every[term]
    assert losses["total"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_all_terms_off_is_refused():
    with pytest.raises(InputError, match="Every loss is off"):
        loss_of(**dict.fromkeys(TERMS, 0))


def test_same_generator_same_loss():
    assert loss_of(seed=1)["total"] == loss_of(seed=1)["total"] != loss_of(seed=2)["total"]


def test_hard_examples_can_be_mined_from_unreliable_pairs_too():
    output, targets = example()
    mining = HardExampleMining(exact=True)
    for unreliable, pairs in ((False, targets.reliable), (True, targets.known)):
        expected = mining(output.scores, targets.positive, pairs)
        assert loss_of(unreliable=unreliable, exact=True)["hard_examples"] == expected
    assert not torch.equal(targets.reliable, targets.known)
