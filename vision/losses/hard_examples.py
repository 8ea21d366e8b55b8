"""Relational hard example mining."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.losses.weighted_bce import cross_entropy


class HardExampleMining(nn.Module):
    """Cross-entropy of (lesion, label) pairs drawn by how wrong they are.

    Eq. (2) of Yan et al. (2019), arXiv:1904.04661. The difficulty of a reliable pair (a positive,
    or a label that is exclusive with one) is

        d = |s - y|^gamma,   s = sigmoid(logits)

    and 0 elsewhere. Pairs are drawn with replacement, with probabilities q = d / sum(d); the loss
    is the mean cross-entropy of those drawn. No gradient flows through the drawing.

    `exact` takes the expected value over all draws instead, sum(q * cross-entropy): the same on
    average, without noise.

    Shape:
        - logits: (N, C). targets, reliable: (N, C), bool.
        - output: (), zero when nothing is reliable.
    """

    def __init__(self, *, gamma: float = 2.0, draws: int = 10_000, exact: bool = False) -> None:
        super().__init__()
        self.gamma = gamma
        self.draws = draws
        self.exact = exact

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        reliable: Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        difficulty = self.difficulty(logits, targets, reliable)
        total = difficulty.sum()
        if not total > 0:
            return 0 * logits.sum()
        if self.exact:
            share = difficulty / total
        else:
            share = self._drawn(difficulty, generator).view_as(logits).to(logits) / self.draws
        return (share * cross_entropy(logits, targets)).sum()

    @torch.no_grad()
    def difficulty(self, logits: Tensor, targets: Tensor, reliable: Tensor) -> Tensor:
        """How wrong each reliable pair is. Shape: (N, C)."""
        return (logits.sigmoid() - targets.to(logits.dtype)).abs() ** self.gamma * reliable

    def _drawn(self, difficulty: Tensor, generator: torch.Generator | None) -> Tensor:
        """How often each pair is drawn. Shape: (N * C,)."""
        device = generator.device if generator else difficulty.device
        places = torch.multinomial(
            difficulty.flatten().to(device), self.draws, replacement=True, generator=generator
        )
        return torch.bincount(places, minlength=difficulty.numel())
