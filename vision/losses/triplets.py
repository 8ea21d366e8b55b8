"""Multilabel triplet loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

_EPSILON = 1e-6  # added to each difference of coordinates, as torch.nn.TripletMarginLoss does


class Triplets(NamedTuple):
    """Places of lesions in the batch. Shape of each: (triplets,)."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


class MultilabelTriplet(nn.Module):
    """Lesions with more labels in common lie closer together.

    Eq. (3) and (4) of Yan et al. (2019), arXiv:1904.04661. The similarity of two lesions with label
    sets X and Y is |X & Y|^2 / |X | Y|. Of T triplets of an anchor a, a similar lesion b and a less
    similar one c, with embeddings e,

        L = 1/T sum max(0, |e_a - e_b| - |e_a - e_c| + margin)

    Triplets are drawn by the rule of `sample_triplets`. `exact` takes the expected value under the
    same rule instead, with memory for N^3 numbers.

    Shape:
        - embeddings: (N, D).
        - targets: (N, C), bool.
        - output: (), zero for fewer than two lesions.
    """

    def __init__(
        self,
        *,
        theta: float = 1.0,
        margin: float = 0.1,
        triplets: int = 5_000,
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.theta = theta
        self.margin = margin
        self.triplets = triplets
        self.exact = exact

    def forward(
        self, embeddings: Tensor, targets: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        if len(embeddings) < 2:
            return 0 * embeddings.sum()
        similarity = label_similarity(targets)
        distance = distances(embeddings)
        if self.exact:
            return expected_loss(distance, similarity, theta=self.theta, margin=self.margin)
        a, p, n = sample_triplets(similarity, self.triplets, theta=self.theta, generator=generator)
        return (distance[a, p] - distance[a, n] + self.margin).relu().mean()


def label_similarity(targets: Tensor, others: Tensor | None = None) -> Tensor:
    """|X & Y|^2 / |X | Y| of the label sets of all pairs of rows; 0 of two empty ones.

    Args:
        targets: Shape: (N, C), bool.
        others: The other rows of the pairs; by default the same. Shape: (M, C), bool.

    Returns:
        Shape: (N, M), float32.

    Example:
        >>> label_similarity(torch.tensor([[True, True, False], [True, True, True]]))
        tensor([[2.0000, 1.3333],
                [1.3333, 3.0000]])
    """
    labels = targets.float()
    against = labels if others is None else others.float()
    common = (labels @ against.T).float()  # counts: exact in half precision too
    sizes = labels.sum(1).unsqueeze(1) + against.sum(1)
    return common**2 / (sizes - common).clamp(min=1)


def distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances |e_i - e_j + epsilon| of all pairs. Shape: (N, D) to (N, N)."""
    return torch.cdist(
        embeddings + _EPSILON, embeddings, compute_mode="donot_use_mm_for_euclid_dist"
    )


@torch.no_grad()
def sample_triplets(
    similarity: Tensor,
    count: int,
    *,
    theta: float = 1.0,
    generator: torch.Generator | None = None,
) -> Triplets:
    """Draw triplets by the authors' rule, for all anchors at once.

    The anchor is any lesion; its partner any other with a similarity of at least `theta`, or the
    most similar one where there is none; the third any other that is less similar than the partner,
    or the least similar one where there is none, even if that is the partner. Of equally similar
    ones the first counts. All are drawn uniformly.

    Args:
        similarity: Shape: (N, N), N at least 2.
        count: How many triplets.
        theta: See above.
        generator: Where the random numbers come from.
    """
    others = len(similarity) - 1
    device = generator.device if generator else similarity.device
    drawn = torch.rand(3, count, generator=generator, device=device).to(similarity.device)
    anchors = (drawn[0] * len(similarity)).long()
    # Sorted, candidates stand side by side: to draw one is to draw its place.
    values, order = _without_itself(similarity, torch.inf).sort(dim=1, stable=True)
    similar = (values[:, :others] >= theta).sum(1)[anchors]
    place = others - 1 - (drawn[1] * similar).long()
    most_similar = _without_itself(similarity, -torch.inf).argmax(1)
    positives = torch.where(similar > 0, order[anchors, place], most_similar[anchors])
    less_similar = torch.searchsorted(values, similarity)[anchors, positives]
    negatives = order[anchors, (drawn[2] * less_similar).long()]
    return Triplets(anchors, positives, negatives)


def expected_loss(
    distance: Tensor, similarity: Tensor, *, theta: float = 1.0, margin: float = 0.1
) -> Tensor:
    """The mean loss of the triplets that `sample_triplets` draws. Shape of both: (N, N)."""
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    most_similar = _without_itself(similarity, -torch.inf).argmax(1)
    least_similar = _without_itself(similarity, torch.inf).argmin(1)
    similar = _or_else((similarity >= theta) & ~itself, most_similar)
    anchor, positive = similar.nonzero(as_tuple=True)
    less = (similarity[anchor] < similarity[anchor, positive].unsqueeze(1)) & ~itself[anchor]
    less = _or_else(less, least_similar[anchor])
    loss = (distance[anchor, positive].unsqueeze(1) - distance[anchor] + margin).relu()
    by_pair = (loss * less).sum(1) / less.sum(1)
    return (by_pair / similar.sum(1)[anchor]).sum() / len(similarity)


def _without_itself(similarity: Tensor, value: float) -> Tensor:
    return similarity.clone().fill_diagonal_(value)


def _or_else(candidates: Tensor, fallback: Tensor) -> Tensor:
    """Where a row holds no candidate, the fallback is one. Shape: (rows, N), (rows,)."""
    none = ~candidates.any(1, keepdim=True)
    places = torch.arange(candidates.shape[1], device=candidates.device)
    return candidates | (none & (places == fallback.unsqueeze(1)))
