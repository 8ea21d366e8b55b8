"""Four steps of the optimiser, as the authors' code takes them."""

import pytest
import torch
from torch import nn

from vision.recipe import (
    TrainConfig,
    clip_gradients,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)


def test_the_optimiser_takes_the_authors_steps(numbers):
    expected = numbers("sgd")
    config = TrainConfig()
    assert config.learning_rate == expected["base_lr"]
    assert config.momentum == expected["momentum"]
    assert config.weight_decay == expected["weight_decay"]
    assert config.gradient_norm == expected["clip_norm"]
    model = nn.ModuleDict({"lin": nn.Linear(3, 2), "bn": nn.BatchNorm1d(2)}).double()
    parameters = dict(model.named_parameters())
    for name, values in expected["init"].items():
        parameters[name].data = torch.tensor(values, dtype=torch.float64)
    optimizer = make_optimizer(model, config)

    for step in expected["steps"]:
        set_learning_rate(optimizer, learning_rate(config, step["epoch"]))
        for name, values in step["grad"].items():
            parameters[name].grad = torch.tensor(values, dtype=torch.float64)
        norm = clip_gradients(model.parameters(), config.gradient_norm)
        optimizer.step()

        assert norm.item() == pytest.approx(step["grad_norm_before_clip"], rel=1e-12)
        rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
        for name, parameter in parameters.items():
            assert rates[id(parameter)] == pytest.approx(step["lr_by_param"][name], rel=1e-12)
            after = torch.tensor(step["param_after"][name], dtype=torch.float64)
            torch.testing.assert_close(parameter.detach(), after, rtol=1e-12, atol=1e-13)
