"""Cross-entropy that weights rare labels."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The authors keep probabilities within [1e-7, 1 - 1e-7]: the same bounds for logits.
MAX_LOGIT: Final = math.log((1 - 1e-7) / 1e-7)


class WeightedBCE(nn.Module):
    """Weighted cross-entropy over the (lesion, label) pairs we know.

    Eq. (1) of Yan et al. (2019), arXiv:1904.04661; K are the known of the N*C pairs:

        L = -1/(N*C) sum_K (w_pos y log s + w_neg (1-y) log(1-s)),   s = sigmoid(logits)

    Like the authors' code it divides by all pairs, so that an unknown pair counts as a loss of
    zero, and keeps s within [1e-7, 1 - 1e-7], beyond which there is no gradient. It does so by
    keeping the logits within the same bounds, which is exact in float32 too.

    Shape:
        - pos_weight, neg_weight: (C,), one weight per label, unitless.
        - logits: (N, C). targets, known: (N, C), bool.
        - output: (), zero when nothing is known.
    """

    pos_weight: Tensor
    neg_weight: Tensor

    def __init__(self, pos_weight: Tensor, neg_weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("pos_weight", pos_weight)
        self.register_buffer("neg_weight", neg_weight)

    def forward(self, logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        weight = torch.where(targets, self.pos_weight, self.neg_weight) * known
        loss = cross_entropy(logits, targets, weight.to(logits))
        return loss.sum() / max(logits.numel(), 1)


def cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of each pair, with probabilities kept within [1e-7, 1 - 1e-7].

    Shape:
        - logits, targets, weight, output: (N, C).

    Example:
        >>> cross_entropy(torch.tensor([0.0, 40.0]), torch.tensor([True, False]))
        tensor([ 0.6931, 16.1181])
    """
    return F.binary_cross_entropy_with_logits(
        logits.clamp(-MAX_LOGIT, MAX_LOGIT), targets.to(logits.dtype), weight, reduction="none"
    )


def class_weights(
    positives: Tensor, lesions: int, *, limit: float = 300.0
) -> tuple[Tensor, Tensor]:
    """The weights of positive and of negative pairs of each label.

        w_pos = min(limit, N / 2P),   w_neg = min(limit, N / 2(N-P))

    for N lesions, P of them positive (Yan et al. 2019, section 3.4). The authors limit w_pos alone;
    w_neg passes 300 only where all but one lesion in 600 have the label.

    Args:
        positives: How many lesions have each label. Shape: (C,).
        lesions: How many lesions there are.
        limit: The largest weight; that of a label without a positive.

    Returns:
        Two tensors of shape (C,), float32.

    Example:
        >>> class_weights(torch.tensor([900, 3, 0]), 2000)
        (tensor([  1.1111, 300.0000, 300.0000]), tensor([0.9091, 0.5008, 0.5000]))
    """
    counts = positives.double()
    pos, neg = ((lesions / (2 * n)).clamp(max=limit).float() for n in (counts, lesions - counts))
    return pos, neg
