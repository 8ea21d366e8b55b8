"""Approximate search in a graph of neighbours, for very many embeddings: faiss, an extra."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vision.indexes.exact import Neighbours, Vectors, empty, members_of, rank

State = NDArray[np.uint8]
_LINKS: Final = 32  # of each embedding
_BUILD: Final = 200  # candidates looked at when an embedding is linked
_SEARCH: Final = 256  # when a query is answered


class HnswIndex:
    """A hierarchical navigable small world graph (Malkov and Yashunin 2020, arXiv:1603.09320).

    It may miss a neighbour. What it finds is put in order by the true distances, as in
    `ExactIndex`. More are looked for than asked, by the size of the largest group, so that a
    query's own group never takes the place of others.

    Args:
        vectors: Shape: (N, D), float32.
        groups: What each belongs to. Length: N.
        state: The graph of an earlier time; by default it is built.
    """

    def __init__(self, vectors: Vectors, groups: Sequence[str], state: State | None = None) -> None:
        faiss: Any = importlib.import_module("faiss")
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.members = members_of(groups)
        if state is None:
            self._graph = faiss.IndexHNSWFlat(self.vectors.shape[1], _LINKS)
            self._graph.hnsw.efConstruction = _BUILD
            self._graph.add(self.vectors)
            state = faiss.serialize_index(self._graph)
        else:
            self._graph = faiss.deserialize_index(state)
        self.state = state

    def search(self, queries: Vectors, groups: Sequence[str], k: int) -> Neighbours:
        """The `k` nearest of other groups, for each query. Shape of `queries`: (Q, D)."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        count = min(k + max(map(len, self.members.values()), default=0), len(self.vectors))
        self._graph.hnsw.efSearch = max(_SEARCH, 2 * count)
        _, places = self._graph.search(queries, count)
        found = empty(len(queries), k)
        for row, (query, near) in enumerate(zip(queries, places, strict=True)):
            barred = self.members.get(groups[row], np.empty(0, dtype=np.int64))
            candidates = np.sort(near[(near >= 0) & ~np.isin(near, barred)])
            rank(self.vectors[candidates], query, candidates, found, row)
        return found
