"""Indexes of embeddings: which lesions of other patients lie nearest to a lesion.

`INDEXES` names them. The exact one takes 1.7 ms a query over 32,735 embeddings of 256 numbers and
27 ms over 500,000 (`benchmarks/retrieval.py`, one core), so it is the default. Above
`APPROXIMATE_FROM` the approximate one is taken where faiss is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Final, Protocol

from vision.indexes.exact import ExactIndex, Neighbours, Vectors
from vision.indexes.hnsw import HnswIndex, State

__all__ = ["APPROXIMATE_FROM", "INDEXES", "ExactIndex", "HnswIndex", "Index", "Neighbours"]

APPROXIMATE_FROM: Final = 500_000


class Index(Protocol):
    """Embeddings that can be searched.

    Attributes:
        state: What took long to build, and is stored beside the embeddings, if anything.
    """

    @property
    def state(self) -> State | None: ...

    def search(self, queries: Vectors, groups: Sequence[str], k: int) -> Neighbours:
        """The `k` nearest of other groups, for each query. Shape of `queries`: (Q, D)."""
        ...


INDEXES: Final[dict[str, Callable[[Vectors, Sequence[str], State | None], Index]]] = {
    "exact": ExactIndex,
    "hnsw": HnswIndex,
}


def index_name(size: int) -> str:
    """Which index to take for so many embeddings.

    Example:
        >>> index_name(32_735)
        'exact'
    """
    return "hnsw" if size > APPROXIMATE_FROM and find_spec("faiss") else "exact"


def make_index(vectors: Vectors, groups: Sequence[str], state: State | None = None) -> Index:
    """Index embeddings, each of a group (its patient), or take up the state of an earlier time."""
    return INDEXES[index_name(len(vectors))](vectors, groups, state)
