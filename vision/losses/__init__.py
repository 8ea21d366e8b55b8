"""The losses of LesaNet, and their sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from vision.errors import InputError
from vision.lesanet import LesaNetOutput
from vision.losses.hard_examples import HardExampleMining
from vision.losses.triplets import MultilabelTriplet
from vision.losses.weighted_bce import WeightedBCE
from vision.targets import Targets

TERMS: Final = ("weighted_bce", "hard_examples", "triplets", "propagated")


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """The weight of each term, 0 to leave it out, and the terms' own settings.

    Defaults are the paper's: eq. (5) and section 4.1 of Yan et al. (2019), arXiv:1904.04661.
    `unreliable` lets hard examples be mined from all known pairs and not from reliable ones alone
    (the paper's ablation); `exact` replaces the sampling of pairs and triplets by its expected
    value.
    """

    weighted_bce: float = 1.0
    hard_examples: float = 1.0
    triplets: float = 5.0
    propagated: float = 1.0
    gamma: float = 2.0
    draws: int = 10_000
    theta: float = 1.0
    margin: float = 0.1
    triplets_per_batch: int = 5_000
    unreliable: bool = False
    exact: bool = False


class LesaNetLoss(nn.Module):
    """What LesaNet minimises: eq. (5) of Yan et al. (2019), arXiv:1904.04661.

        L = WCE(s, y) + RHEM(s, y) + 5 L_triplet + WCE(s~, y)

    of scores s, refined scores s~ and embeddings. A function of its inputs and the generator alone:
    with several processes, gather outputs and targets and give each process a generator in the same
    state.

    Shape:
        - pos_weight, neg_weight: (C,), see `vision.losses.weighted_bce.class_weights`.
        - output: of the network for N lesions and C labels.
        - targets: of the same.
        - returned: (), "total", and each term that is on by its name, before it is weighted.

    Raises:
        InputError: If every term is off.
    """

    def __init__(self, pos_weight: Tensor, neg_weight: Tensor, config: LossConfig) -> None:
        super().__init__()
        self.weights = {term: w for term in TERMS if (w := getattr(config, term))}
        if not self.weights:
            raise InputError(f"Every loss is off. Give one of {', '.join(TERMS)} a weight above 0.")
        self.unreliable = config.unreliable
        self.bce = WeightedBCE(pos_weight, neg_weight)
        self.mining = HardExampleMining(gamma=config.gamma, draws=config.draws, exact=config.exact)
        self.triplet = MultilabelTriplet(
            theta=config.theta,
            margin=config.margin,
            triplets=config.triplets_per_batch,
            exact=config.exact,
        )

    def forward(
        self, output: LesaNetOutput, targets: Targets, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        positive, known = targets.positive, targets.known
        mined = known if self.unreliable else targets.reliable
        scores, refined, embeddings = output.scores, output.refined_scores, output.embeddings
        terms: dict[str, Callable[[], Tensor]] = {
            "weighted_bce": lambda: self.bce(scores, positive, known),
            "hard_examples": lambda: self.mining(scores, positive, mined, generator=generator),
            "triplets": lambda: self.triplet(embeddings, positive, generator=generator),
            "propagated": lambda: self.bce(refined, positive, known),
        }
        losses = {term: terms[term]() for term in self.weights}
        total = torch.stack([self.weights[term] * loss for term, loss in losses.items()]).sum()
        return {"total": total, **losses}
