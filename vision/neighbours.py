"""Labels by the nearest remembered lesions, for a network that learns no classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.targets import Targets

_NEAREST = 0.01  # closer lesions count as being this far away
_LEAST_SHARE = 1e-7  # as far from 0 and 1 as the cross-entropy keeps probabilities
_UNKNOWN = -1


class NeighbourVote(nn.Module):
    """The labels of the nearest remembered lesions vote, each with one over its distance.

    The distance weighted rule of Dudani (1976). With Euclidean distances d of the embeddings, the
    probability of label c is the share of the K nearest lesions that have it,

        p_c = sum_k y_kc / d_k / sum_k known_kc / d_k

    where a lesion of which it is not known does not vote. Lesions and labels are buffers, so they
    are saved with the network; while training there is no one to ask yet, and all logits are 0.

    Shape:
        - embeddings: (N, D).
        - output: (N, C), the logit of the share.
    """

    embeddings: Tensor
    labels: Tensor

    def __init__(self, lesions: int, size: int, labels: int, *, neighbours: int = 10) -> None:
        super().__init__()
        self.neighbours = min(neighbours, lesions)
        self.register_buffer("embeddings", torch.zeros(lesions, size))
        self.register_buffer("labels", torch.full((lesions, labels), _UNKNOWN, dtype=torch.int8))

    def forward(self, embeddings: Tensor) -> Tensor:
        if self.training:
            return embeddings.new_zeros(len(embeddings), self.labels.shape[1])
        distance = torch.cdist(
            embeddings, self.embeddings, compute_mode="donot_use_mm_for_euclid_dist"
        )
        nearest = distance.topk(self.neighbours, largest=False)
        weights = 1 / nearest.values.clamp(min=_NEAREST).unsqueeze(2)
        labels = self.labels[nearest.indices]  # (N, K, C)
        having = (weights * (labels > 0)).sum(1)
        known = (weights * (labels != _UNKNOWN)).sum(1)
        shares = torch.where(known > 0, having / known, 0)
        return shares.clamp(_LEAST_SHARE, 1 - _LEAST_SHARE).logit()

    @torch.no_grad()
    def remember(self, embeddings: Tensor, targets: Targets) -> None:
        """Take these lesions, as many as there is room for, in place of those before."""
        self.embeddings.copy_(embeddings)
        self.labels.copy_(targets.positive.to(torch.int8).masked_fill(~targets.known, _UNKNOWN))
