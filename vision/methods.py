"""The ways to train: LesaNet, and what its paper compares it with.

`METHODS` names them. They share the data, the recipe and the loop of `vision.training`; a method
says which loss is minimised, of which targets, and which parts the network has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from torch import nn

from vision.data import LesionData
from vision.errors import InputError
from vision.labels import LabelSpace
from vision.losses import LesaNetLoss, LossConfig
from vision.losses.likeness import LikenessTriplet, traits_of
from vision.losses.warp import WarpLoss
from vision.losses.weighted_bce import class_weights
from vision.metrics import THRESHOLD_GRID
from vision.recipe import TrainConfig
from vision.targets import Targets


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """What makes a method.

    Attributes:
        loss: Makes the loss, a function of what the network says and the targets, from the targets
            of the lesions that are learned, and their labels.
        propagates: Whether the network has a score propagation layer, if its term is on.
        remembers: Whether the lesions that are learned are remembered, and label others.
        targets: Adds to the targets of the lesions.
        thresholds: The thresholds that are tried for each label, ascending.
    """

    loss: Callable[[Targets, LabelSpace, LossConfig], nn.Module]
    propagates: bool = False
    remembers: bool = False
    targets: Callable[[LesionData, Targets], Targets] = lambda data, targets: targets
    thresholds: tuple[float, ...] = THRESHOLD_GRID


def lesanet_loss(learned: Targets, space: LabelSpace, config: LossConfig) -> LesaNetLoss:
    """All the terms of eq. (5) of Yan et al. (2019), arXiv:1904.04661."""
    return LesaNetLoss(*class_weights(learned.positive.sum(dim=0), len(learned)), config)


def multilabel_loss(learned: Targets, space: LabelSpace, config: LossConfig) -> LesaNetLoss:
    """The weighted cross-entropy of the scores alone."""
    alone = replace(config, hard_examples=0.0, triplets=0.0, propagated=0.0)
    return lesanet_loss(learned, space, alone)


def warp_loss(learned: Targets, space: LabelSpace, config: LossConfig) -> WarpLoss:
    """The ranking of the scores alone."""
    return WarpLoss(space.ancestors, exact=config.exact)


def embedding_loss(learned: Targets, space: LabelSpace, config: LossConfig) -> LikenessTriplet:
    """Triplets by body part, location and size."""
    return LikenessTriplet(triplets=config.triplets_per_batch, exact=config.exact)


# The scores that a ranking gives have no zero and no scale: from -2 to 10 in steps of a half.
RANKING_GRID: Final = tuple(1 / (1 + math.exp(-half / 2)) for half in range(-4, 21))

METHODS: Final = {
    "lesanet": Method(loss=lesanet_loss, propagates=True),
    "multilabel": Method(loss=multilabel_loss),
    "warp": Method(loss=warp_loss, thresholds=RANKING_GRID),
    "embedding": Method(loss=embedding_loss, remembers=True, targets=traits_of),
}


def method_of(config: TrainConfig) -> Method:
    """The method that a recipe names.

    Raises:
        InputError: If there is none of that name.
    """
    if config.method not in METHODS:
        raise InputError(
            f"There is no method '{config.method}'. Choose one of {', '.join(METHODS)}."
        )
    return METHODS[config.method]


def network_settings(config: TrainConfig, lesions: int) -> dict[str, Any]:
    """The settings of the network that learns so many lesions, for `LesaNetConfig.from_labels`.

    Example:
        >>> network_settings(TrainConfig(method="embedding"), 19213)
        {'backbone': 'vgg16', 'propagation': False, 'memory_size': 19213}
    """
    method = method_of(config)
    return {
        "backbone": config.backbone,
        "propagation": method.propagates and config.loss.propagated > 0,
        "memory_size": lesions if method.remembers else 0,
    }
