"""What learns, and one step of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from vision.data import Batch, LesionData
from vision.distributed import (
    average_gradients,
    gather,
    rank,
    share_batch_norm,
    share_weights,
    world_size,
)
from vision.errors import InputError
from vision.methods import method_of
from vision.recipe import TrainConfig, clip_gradients, make_optimizer, step_seed
from vision.targets import Targets, targets_of


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What is learned: the lesions with a positive label, by number, and the targets of all."""

    data: LesionData
    targets: Targets
    rows: list[int]


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What a step takes: the network and what changes it."""

    model: Any  # a PreTrainedModel, whose calls have no types
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    config: TrainConfig


def make_lessons(data: LesionData, config: TrainConfig) -> Lessons:
    """Take the lesions with at least one positive label.

    Raises:
        InputError: If there is none.
    """
    targets = targets_of(
        data.relevant,
        data.uncertain,
        data.irrelevant,
        data.space,
        positives=config.positives,
        expansion=config.expansion,
    )
    rows: list[int] = targets.positive.any(dim=1).nonzero().flatten().tolist()
    if not rows:
        raise InputError(
            f"None of the {len(data)} training lesions has a positive label (counting "
            f"{config.positives}), so there is nothing to learn. Choose another dataset."
        )
    return Lessons(data=data, targets=method_of(config).targets(data, targets), rows=rows)


def make_learner(model: Any, lessons: Lessons, config: TrainConfig) -> Learner:
    """Bring network, loss and optimiser to the device, and the processes together.

    Raises:
        InputError: If the device can't do what is asked for, or a batch can't be shared out.
    """
    accelerator = Accelerator(mixed_precision=_precision(config))
    size = min(config.batch_size, len(lessons.rows))
    if config.batch_size % world_size() or size < world_size():
        raise InputError(
            f"A batch of {size} lesions can't be shared out evenly among {world_size()} "
            "processes. Choose another --batch-size, or fewer processes."
        )
    learned, space = lessons.targets[lessons.rows], lessons.data.space
    loss = method_of(config).loss(learned, space, config.loss)
    model.to(accelerator.device)
    share_weights(model)
    share_batch_norm(model)
    return Learner(
        model=model,
        loss=loss.to(accelerator.device),
        optimizer=accelerator.prepare(make_optimizer(model, config)),
        accelerator=accelerator,
        config=config,
    )


def _precision(config: TrainConfig) -> str:
    on_gpu = torch.cuda.is_available()
    if config.mixed_precision is None:
        return "no" if not on_gpu else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if config.mixed_precision != "no" and not on_gpu:
        raise InputError(f"Mixed precision ({config.mixed_precision}) needs a GPU; leave it out.")
    return config.mixed_precision


def train_step(
    learner: Learner, inputs: Batch, targets: Targets, step: int, *, epoch: int
) -> dict[str, float]:
    """One step.

    Args:
        learner: See there.
        inputs: `pixel_values` and `boxes_px` of this process's part of the batch.
        targets: Of the whole batch.
        step: The number of the step in the whole training, from 0.
        epoch: Of the step, from 0.

    Returns:
        The loss terms of the whole batch.

    Raises:
        InputError: If loss or gradient is not a finite number; the weights then stay.
    """
    config, accelerator, device = learner.config, learner.accelerator, learner.accelerator.device
    torch.manual_seed(step_seed(config, step, 1 + rank()))
    with accelerator.autocast():
        output = learner.model(
            pixel_values=inputs["pixel_values"].to(device), boxes_px=inputs["boxes_px"].to(device)
        )
    # Every process computes the loss of the whole batch, and draws the same for it.
    generator = torch.Generator().manual_seed(step_seed(config, step, 0))
    whole = type(output)(**{name: gather(values) for name, values in output.items()})
    terms = learner.loss(whole, targets.to(device), generator=generator)
    learner.optimizer.zero_grad()
    accelerator.backward(terms["total"])
    parameters = list(learner.model.parameters())
    average_gradients(parameters)
    accelerator.unscale_gradients(learner.optimizer)
    norm = clip_gradients(parameters, config.gradient_norm)
    figures = {name: term.item() for name, term in terms.items()}
    # With fp16 gradients overflow now and then, and the scaler leaves out the step.
    if not all(map(math.isfinite, [*figures.values(), 0 if accelerator.scaler else norm.item()])):
        raise InputError(_divergence(learner, step, epoch))
    learner.optimizer.step()
    return figures


def _divergence(learner: Learner, step: int, epoch: int) -> str:
    rate = learner.optimizer.param_groups[0]["lr"]
    return (
        f"The training diverges: in epoch {epoch + 1}, step {step + 1}, loss or gradient is not a "
        f"finite number. Lower the learning rate (it is {rate:g} there), and start anew with "
        "another --out or go on from the last checkpoint with --resume."
    )
