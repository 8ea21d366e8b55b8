"""Weighted approximate ranking of labels, pair by pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.lesanet import LesaNetOutput
from vision.targets import Targets


class WarpLoss(nn.Module):
    """What holds of a lesion ranks above what does not, and the fine above the coarse.

    Weston et al. (2011, section 3.2), with several positives as in Gong et al. (2014,
    arXiv:1312.4894, eq. 4). Yan et al. (2019, arXiv:1904.04661, section 4.2), whose baseline it is,
    rank a fine label above a coarse one where both hold. So below a positive j belong the labels
    B_j: the known negatives, and the positives among its ancestors. With scores s,

        h_jk = max(0, 1 - s_j + s_k)                   for k in B_j
        L    = 1/P sum_j (1 + 1/2 + ... + 1/r_j) h_jk,   k one of those in B_j with h_jk > 0

    over the P positive pairs of the batch, where the papers sum: so the learning rate need not
    follow how much is said of a lesion. r_j, the rank of j, is the number of k with h_jk > 0. It is
    estimated: labels of B_j are drawn, with replacement, until the n-th has h_jk > 0, and r_j is
    |B_j| / n rounded down; after |B_j| draws in vain the loss of j is zero. `exact` takes the rank
    itself, and the mean of h_jk over the k that may be drawn.

    Unknown pairs are neither positive nor below one. Only differences of a lesion's scores matter.

    Shape:
        - ancestors: (C, C), bool: at [c, a] whether a lies above c.
        - output: of the network for N lesions and C labels.
        - targets: of the same.
        - returned: (), "total" and "warp", which are the same; zero without a positive.
    """

    ancestors: Tensor

    def __init__(self, ancestors: Tensor, *, exact: bool = False) -> None:
        super().__init__()
        self.register_buffer("ancestors", ancestors)
        self.exact = exact

    def forward(
        self, output: LesaNetOutput, targets: Targets, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        below = labels_below(targets.positive, targets.known, self.ancestors)
        loss = self.rank(output.scores, targets.positive, below, generator=generator)
        return {"total": loss, "warp": loss}

    def rank(
        self,
        logits: Tensor,
        positive: Tensor,
        below: Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The loss. Shape: (N, C), (N, C) with P positives, (P, C)."""
        if not len(below):
            return 0 * logits.sum()
        lesions, labels = positive.nonzero(as_tuple=True)
        margins = (1 - logits[lesions, labels].unsqueeze(1) + logits[lesions]).relu() * below
        violates = margins > 0
        if self.exact:
            ranks = violates.sum(1)
            share = violates.to(logits) / ranks.clamp(min=1).unsqueeze(1)
        else:
            ranks, share = draw_violators(violates, below, generator=generator)
        return (harmonic_sums(ranks, logits) * (share * margins).sum(1)).mean()


def labels_below(positive: Tensor, known: Tensor, ancestors: Tensor) -> Tensor:
    """Which labels belong below each positive pair: negatives, and ancestors that hold too.

    Args:
        positive: The label holds. Shape: (N, C), bool.
        known: It is settled whether it holds. Shape: (N, C), bool.
        ancestors: At [c, a] whether a lies above c. Shape: (C, C), bool.

    Returns:
        One row for each of the P positive pairs, lesion by lesion. Shape: (P, C), bool.
    """
    lesions, labels = positive.nonzero(as_tuple=True)
    return (known & ~positive)[lesions] | (positive[lesions] & ancestors[labels])


@torch.no_grad()
def draw_violators(
    violates: Tensor, below: Tensor, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw labels below each positive pair until one violates the order.

    Args:
        violates: Whether a label below the positive comes too close. Shape: (P, C), bool.
        below: Which labels may be drawn. Shape: (P, C), bool.
        generator: Where the random numbers come from.

    Returns:
        - The estimated rank, 0 where none was found. Shape: (P,).
        - 1 at the label that was found, 0 elsewhere. Shape: (P, C).
    """
    device = generator.device if generator else below.device
    draws = torch.rand(below.shape, generator=generator, device=device).to(below.device)
    count = below.sum(1, keepdim=True)
    # Sorted, those that may be drawn stand side by side: to draw one is to draw its place.
    places = (draws * count).long().minimum((count - 1).clamp(min=0))
    drawn = below.int().argsort(dim=1, descending=True, stable=True).gather(1, places)
    trial = torch.arange(below.shape[1], device=below.device)
    found = violates.gather(1, drawn) & (trial < count)
    first = found.int().argmax(1, keepdim=True)
    hit = found.any(1, keepdim=True)
    ranks = torch.where(hit, count // (first + 1), 0).squeeze(1)
    return ranks, torch.zeros_like(below).scatter(1, drawn.gather(1, first), hit)


def harmonic_sums(ranks: Tensor, like: Tensor) -> Tensor:
    """1 + 1/2 + ... + 1/r of each rank r, in the type of another tensor.

    Example:
        >>> harmonic_sums(torch.tensor([0, 1, 2, 3]), torch.zeros(1))
        tensor([0.0000, 1.0000, 1.5000, 1.8333])
    """
    terms = 1 / torch.arange(1, int(ranks.max()) + 1, device=like.device, dtype=like.dtype)
    return torch.cat([terms.new_zeros(1), terms.cumsum(0)])[ranks]
