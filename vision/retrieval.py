"""How many labels retrieved lesions share with the lesion that they were retrieved for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from vision.losses.triplets import label_similarity

_QUERIES: Final = 256  # at a time, for the memory of their similarities to all


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalScores:
    """How good retrieval is, as means over the queries' nearest lesions.

    Attributes:
        acg: The average cumulative gain: the labels that query and retrieved lesion share.
        similarity: The similarity of their labels, eq. (3) of Yan et al. (2019).
        random_acg, random_similarity: The same of lesions drawn at random from other patients.
        pairs: Of query and retrieved lesion; fewer than K for each query where the index holds
            fewer lesions of other patients.
    """

    acg: float
    similarity: float
    random_acg: float
    random_similarity: float
    pairs: int


def score_retrieval(
    rows: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_patients: Sequence[str],
    patients: Sequence[str],
) -> RetrievalScores:
    """Score what was retrieved for Q queries from N lesions.

        ACG@K = 1/(Q K) sum_q sum_k |L_q & L_(q,k)|

    with the label sets L of a query and of the k-th lesion retrieved for it, as Yan et al. (2019),
    arXiv:1904.04661, count common labels; unlike in eq. (3), their number alone counts.

    Args:
        rows: The retrieved lesions; -1 where there are fewer than K. Shape: (Q, K).
        query_labels: Shape: (Q, C), bool.
        labels: Shape: (N, C), bool.
        query_patients: Length: Q.
        patients: Length: N.

    Raises:
        ValueError: If nothing was retrieved.
    """
    if not bool((rows >= 0).any()):
        raise ValueError("Nothing was retrieved for any query.")
    found: list[Tensor] = []
    others: list[Tensor] = []
    codes = {patient: i for i, patient in enumerate({*query_patients, *patients})}
    whose = torch.tensor([codes[patient] for patient in patients])
    own = torch.tensor([codes[patient] for patient in query_patients])
    for start in range(0, len(rows), _QUERIES):
        block = slice(start, start + _QUERIES)
        gains = pair_gains(query_labels[block], labels)
        retrieved = rows[block]
        chosen = gains.gather(2, retrieved.clamp(min=0).expand(2, -1, -1))
        found.append(_sums(chosen, retrieved >= 0))
        others.append(_sums(gains, own[block].unsqueeze(1) != whose))
    acg, similarity, pairs = torch.stack(found).sum(0).tolist()
    random_acg, random_similarity, all_pairs = torch.stack(others).sum(0).tolist()
    return RetrievalScores(
        acg=acg / pairs,
        similarity=similarity / pairs,
        random_acg=random_acg / all_pairs,
        random_similarity=random_similarity / all_pairs,
        pairs=int(pairs),
    )


def pair_gains(labels: Tensor, others: Tensor) -> Tensor:
    """The number of common labels and the similarity of all pairs. Shape: (2, Q, N), float32.

    Example:
        >>> pair_gains(torch.tensor([[True, True]]), torch.tensor([[True, True], [False, True]]))
        tensor([[[2.0000, 1.0000]],
        <BLANKLINE>
                [[2.0000, 0.5000]]])
    """
    common = labels.float() @ others.float().T
    return torch.stack([common, label_similarity(labels, others)])


def _sums(gains: Tensor, counted: Tensor) -> Tensor:
    """The sums of both gains over the pairs that count, and their number. Shape: (3,), float64."""
    sums = (gains.double() * counted).sum(dim=(1, 2))
    return torch.cat([sums, counted.sum().double().reshape(1)])
