"""Exact search: the distances to all, as one product of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
_PART: Final = 128
_LEAST: Final = float(np.finfo(np.float32).min)  # a lesion that is left out has less
_QUERIES: Final = 64  # at a time: their scores take 8 MB for 32,735 embeddings


class Neighbours(NamedTuple):
    """What lies nearest to Q queries, the nearest first.

    Attributes:
        distances: Euclidean; infinite where there are fewer. Shape: (Q, K), float64.
        rows: Places in the index; -1 where there are fewer. Shape: (Q, K), int64.
    """

    distances: NDArray[np.float64]
    rows: NDArray[np.int64]


class ExactIndex:
    """All embeddings, compared with each query.

    The nearest have the largest x q - |x|^2 / 2, found in float32. What the rounding may have
    mixed up is compared again in float64, so the order is that of the true distances; of equally
    distant ones the first counts.

    Args:
        vectors: Shape: (N, D), float32.
        groups: What each belongs to; a search leaves out the query's own group. Length: N.
        state: Not needed.
    """

    state = None

    def __init__(self, vectors: Vectors, groups: Sequence[str], state: Any = None) -> None:
        # A query times columns takes half the time of rows times a query.
        self._columns = np.ascontiguousarray(np.asarray(vectors, dtype=np.float32).T)
        self.members = members_of(groups)
        self._half = np.square(self._columns).sum(axis=0) / 2
        self._longest = float(np.sqrt(2 * self._half.max(initial=0)))

    def search(self, queries: Vectors, groups: Sequence[str], k: int) -> Neighbours:
        """The `k` nearest of other groups, for each query. Shape of `queries`: (Q, D)."""
        found = empty(len(queries), k)
        for start in range(0, len(queries), _QUERIES):
            block = np.asarray(queries[start : start + _QUERIES], dtype=np.float32)
            scores = block @ self._columns - self._half
            for row, (query, score) in enumerate(zip(block, scores, strict=True), start):
                barred = self.members.get(groups[row], _NONE)
                score[barred] = -np.inf
                wanted = min(k, len(score) - len(barred))
                if wanted:
                    candidates = self._candidates(query, score, wanted)
                    rank(self._columns[:, candidates].T, query, candidates, found, row)
        return found

    def _candidates(self, query: Vectors, score: Vectors, wanted: int) -> NDArray[np.int64]:
        """All that may be among the nearest, given how far a score may be off. Ascending."""
        # As many parts have a score of at least this, so as many lesions have; to look for the best
        # of the parts is faster than of all.
        best = np.maximum.reduceat(score, np.arange(0, len(score), _PART))
        least = np.partition(best if len(best) >= wanted else score, -wanted)[-wanted]
        longest = self._longest
        length = float(np.linalg.norm(query))
        off = (len(query) + 4) * np.finfo(np.float32).eps * (longest * length + longest**2 / 2)
        return np.flatnonzero(score >= max(least - 2 * off, _LEAST))


_NONE: Final = np.empty(0, dtype=np.int64)


def members_of(groups: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The places of each group."""
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    return {group: np.array(rows) for group, rows in places.items()}


def empty(queries: int, k: int) -> Neighbours:
    """Neighbours of which none is found yet."""
    return Neighbours(np.full((queries, k), np.inf), np.full((queries, k), -1, dtype=np.int64))


def rank(
    vectors: Vectors, query: Vectors, candidates: NDArray[np.int64], found: Neighbours, row: int
) -> None:
    """Put the nearest of some candidates into a row of `found`. Shapes: (n, D), (D,), (n,)."""
    differences = vectors.astype(np.float64) - query
    distances = np.sqrt(np.square(differences).sum(axis=1))
    order = np.argsort(distances, kind="stable")[: found.rows.shape[1]]
    found.distances[row, : len(order)] = distances[order]
    found.rows[row, : len(order)] = candidates[order]
