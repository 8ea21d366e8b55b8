"""The schedule, the optimiser and the order of the lesions, against formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vision.errors import InputError
from vision.recipe import (
    TrainConfig,
    clip_gradients,
    epoch_batches,
    learning_rate,
    make_optimizer,
    set_learning_rate,
    step_seed,
)


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.bn = nn.BatchNorm1d(2)


def test_the_rate_falls_after_ten_of_fifteen_epochs():
    rates = [learning_rate(TrainConfig(), epoch) for epoch in range(15)]
    assert rates == pytest.approx([0.01] * 10 + [0.001] * 5)


@pytest.mark.parametrize(
    ("epochs", "first"), [(1, 1), (2, 1), (3, 2), (6, 4), (8, 5), (30, 20), (100, 67)]
)
def test_the_schedule_stretches_with_the_epochs(epochs, first):
    rates = [learning_rate(TrainConfig(epochs=epochs), epoch) for epoch in range(epochs)]
    assert rates == pytest.approx([0.01] * first + [0.001] * (epochs - first))


def test_the_rate_falls_at_each_milestone():
    config = TrainConfig(epochs=4, milestones=(0.5, 0.75), rate_factor=0.5, learning_rate=8.0)
    assert [learning_rate(config, epoch) for epoch in range(4)] == [8, 8, 4, 2]


@given(seed=st.integers(0, 2**16), size=st.sampled_from([0.1, 3.0, 100.0]))
def test_steps_follow_the_formula(seed, size):
    """v <- m v + s (g + d w), w <- w - r v; s clips; biases with d = 0 and twice the rate r."""
    rng = torch.Generator().manual_seed(seed)
    config = TrainConfig()
    model = Toy().double()
    optimizer = make_optimizer(model, config)
    weights = {n: p.detach().flatten().tolist() for n, p in model.named_parameters()}
    speed = {name: [0.0] * len(values) for name, values in weights.items()}
    for epoch in (0, 10, 14):
        gradients = {
            n: size * torch.randn(p.shape, generator=rng, dtype=torch.float64)
            for n, p in model.named_parameters()
        }
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name].clone()
        set_learning_rate(optimizer, learning_rate(config, epoch))
        clip_gradients(model.parameters(), config.gradient_norm)
        optimizer.step()

        norm = math.sqrt(sum(g**2 for v in gradients.values() for g in v.flatten().tolist()))
        scale = 10 / max(norm, 10)
        for name, values in weights.items():
            decay, rate = (0, 2) if "bias" in name else (1e-4, 1)
            rate *= 0.01 if epoch < 10 else 0.001
            for i, gradient in enumerate(gradients[name].flatten().tolist()):
                speed[name][i] = 0.9 * speed[name][i] + scale * gradient + decay * values[i]
                values[i] -= rate * speed[name][i]
    for name, parameter in model.named_parameters():
        assert parameter.flatten().tolist() == pytest.approx(weights[name], rel=1e-10, abs=1e-12)


def test_the_scale_of_batch_normalisation_decays_and_its_shift_does_not():
    groups = make_optimizer(Toy(), TrainConfig()).param_groups
    assert [[tuple(p.shape) for p in g["params"]] for g in groups] == [[(2, 3), (2,)], [(2,), (2,)]]
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.01, 1e-4), (0.02, 0.0)]


def test_small_gradients_stay_as_they_are():
    model = Toy()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.1)
    clip_gradients(model.parameters(), 10.0)
    assert all((p.grad == 0.1).all() for p in model.parameters())


@given(lesions=st.integers(3, 40), size=st.integers(3, 50), processes=st.integers(1, 3))
def test_batches_are_whole_and_hold_a_lesion_once(lesions, size, processes):
    rows = list(range(100, 100 + lesions))
    batches = epoch_batches(rows, TrainConfig(batch_size=size), 0, multiple_of=processes)
    drawn = [row for batch in batches for row in batch]
    assert len(batches) == max(lesions // size, 1)
    assert {len(b) for b in batches} == {min(size, lesions) // processes * processes}
    assert len({*drawn}) == len(drawn)
    assert {*drawn} <= {*rows}


def test_each_epoch_and_seed_has_its_own_order():
    orders = [
        str(epoch_batches(range(20), TrainConfig(batch_size=20, seed=seed), epoch))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({*orders}) == 4
    assert orders[0] == str(epoch_batches(range(20), TrainConfig(batch_size=20, seed=0), 0))


def test_each_part_of_each_step_has_its_own_seed():
    seeds = {step_seed(TrainConfig(), step, part) for step in range(50) for part in range(4)}
    assert len(seeds) == 200


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate", "checkpoint_steps"])
def test_settings_must_be_above_zero(name):
    with pytest.raises(InputError, match=f"{name} is 0, but must be above 0"):
        TrainConfig(**{name: 0})


@pytest.mark.parametrize("name", ["seed", "workers"])
def test_settings_must_not_be_below_zero(name):
    with pytest.raises(InputError, match=f"{name} is -1, but must not be below 0"):
        TrainConfig(**{name: -1})
