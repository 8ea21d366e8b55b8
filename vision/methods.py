"""The ways to train: LesaNet, and what its paper compares it with.

`METHODS` names them. They share the data, the recipe and the loop of `vision.training`; a method
says which loss is minimised and which parts the network has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from torch import nn

from vision.errors import InputError
from vision.labels import LabelSpace
from vision.losses import LesaNetLoss, LossConfig
from vision.losses.warp import WarpLoss
from vision.losses.weighted_bce import class_weights
from vision.recipe import TrainConfig
from vision.targets import Targets


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """What makes a method.

    Attributes:
        loss: Makes the loss, a function of what the network says and the targets, from the targets
            of the lesions that are learned, and their labels.
        network: Makes the settings of the network.
    """

    loss: Callable[[Targets, LabelSpace, LossConfig], nn.Module]
    network: Callable[[LossConfig], dict[str, Any]]


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


METHODS: Final = {
    "lesanet": Method(
        loss=lesanet_loss, network=lambda config: {"propagation": config.propagated > 0}
    ),
    "multilabel": Method(loss=multilabel_loss, network=lambda config: {"propagation": False}),
    "warp": Method(loss=warp_loss, network=lambda config: {"propagation": False}),
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


def network_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings of the network that a recipe trains, for `LesaNetConfig.from_labels`.

    Example:
        >>> network_settings(TrainConfig(method="multilabel"))
        {'backbone': 'vgg16', 'propagation': False}
    """
    return {"backbone": config.backbone, **method_of(config).network(config.loss)}
