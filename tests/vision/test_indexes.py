"""Searching embeddings, against all distances one by one."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision import indexes
from vision.indexes import INDEXES, ExactIndex, HnswIndex, index_name, make_index


def slow_search(vectors, groups, query, group, k):
    """The nearest of other groups, in Python floats; of equally distant ones the first."""
    pairs = sorted(
        (math.dist(vector.tolist(), query.tolist()), row)
        for row, vector in enumerate(vectors)
        if groups[row] != group
    )
    return pairs[:k]


def check(found, vectors, groups, queries, asking, k):
    for row, (query, group) in enumerate(zip(queries, asking, strict=True)):
        expected = slow_search(vectors, groups, query, group, k)
        count = len(expected)
        assert found.rows[row, :count].tolist() == [place for _, place in expected]
        assert found.distances[row, :count].tolist() == pytest.approx([d for d, _ in expected])
        assert (found.rows[row, count:] == -1).all()
        assert np.isinf(found.distances[row, count:]).all()


def drawn(seed, lesions, dimensions, patients, *, spread=1.0, unit=True):
    rng = np.random.default_rng(seed)
    vectors = 1 + spread * rng.normal(size=(lesions, dimensions))
    if unit:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"p{i}" for i in rng.integers(patients, size=lesions)]


@given(
    seed=st.integers(0, 2**16),
    lesions=st.integers(1, 40),
    patients=st.integers(1, 8),
    k=st.integers(1, 9),
    spread=st.sampled_from([1.0, 1e-3, 1e-6]),
    unit=st.booleans(),
)
def test_exact_search_agrees_with_all_distances(seed, lesions, patients, k, spread, unit):
    vectors, groups = drawn(seed, lesions, 7, patients, spread=spread, unit=unit)

    found = ExactIndex(vectors, groups).search(vectors, groups, k)

    check(found, vectors, groups, vectors, groups, k)


def test_what_float32_can_not_tell_apart_is_in_order():
    """Around a far point, the scores in float32 are all but equal."""
    rng = np.random.default_rng(1)
    vectors = (1000 + rng.normal(size=(300, 16))).astype(np.float32)
    groups = [str(i) for i in range(300)]

    found = ExactIndex(vectors, groups).search(vectors[:20], groups[:20], 5)

    check(found, vectors, groups, vectors[:20], groups[:20], 5)


def test_of_equal_lesions_the_first_comes_first():
    vectors = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (9, 1))
    found = ExactIndex(vectors, list("aabbccdde")).search(vectors[:1], ["a"], 3)
    assert found.rows.tolist() == [[2, 3, 4]]
    assert found.distances.tolist() == [[0, 0, 0]]


def test_more_queries_than_a_block_and_a_new_patient():
    vectors, groups = drawn(3, 150, 5, 12)
    found = ExactIndex(vectors, groups).search(vectors, ["new"] * 150, 1)
    assert found.rows[:, 0].tolist() == list(range(150))
    assert found.distances.max() == 0


@pytest.mark.parametrize(("k", "patients"), [(3, 500), (8, 2), (40, 30)])
def test_many_lesions_are_looked_at_in_parts(k, patients):
    """Parts that hold only lesions left out, the last part smaller, more asked than parts."""
    vectors, groups = drawn(7, 1100, 4, patients)
    groups = sorted(groups)
    found = ExactIndex(vectors, groups).search(vectors[::100], groups[::100], k)
    check(found, vectors, groups, vectors[::100], groups[::100], k)


def test_an_index_of_nothing_finds_nothing():
    nothing = ExactIndex(np.empty((0, 4), dtype=np.float32), [])
    found = nothing.search(np.ones((2, 4), dtype=np.float32), ["a", "b"], 3)
    assert found.rows.tolist() == [[-1] * 3] * 2


class Graph:
    """What is used of a faiss graph, by all distances."""

    def __init__(self, dimensions, links):
        self.vectors = np.empty((0, dimensions), dtype=np.float32)
        self.hnsw = SimpleNamespace(efConstruction=0, efSearch=0)

    def add(self, vectors):
        self.vectors = vectors.copy()

    def search(self, queries, count):
        squares = np.square(queries[:, None] - self.vectors).sum(-1)
        places = np.argsort(squares, axis=1, kind="stable")[:, :count]
        places[:, -1:] = np.where(count > 8, -1, places[:, -1:])  # faiss: found nothing more
        return np.take_along_axis(squares, places, 1), places


def serialize(graph):
    return np.frombuffer(graph.vectors.tobytes(), dtype=np.uint8)


def deserialize(state):
    graph = Graph(6, 0)
    graph.add(np.frombuffer(state.tobytes(), dtype=np.float32).reshape(-1, 6))
    return graph


@pytest.fixture
def faiss(monkeypatch):
    """The real one where it is installed, else a stand-in of the few functions."""
    try:
        import faiss
    except ImportError:
        faiss = SimpleNamespace(
            IndexHNSWFlat=Graph, serialize_index=serialize, deserialize_index=deserialize
        )
        monkeypatch.setitem(sys.modules, "faiss", faiss)
    return faiss


@pytest.mark.usefixtures("faiss")
def test_the_graph_finds_lesions_of_others_and_is_taken_up_again():
    vectors, groups = drawn(5, 60, 6, 20)

    built = HnswIndex(vectors, groups)
    again = HnswIndex(vectors, groups, built.state)

    for index in (built, again):
        found = index.search(vectors[:9], groups[:9], 4)
        check(found, vectors, groups, vectors[:9], groups[:9], 4)
    assert built.state.dtype == np.uint8


def test_the_graph_is_taken_for_many_where_faiss_is(monkeypatch):
    monkeypatch.setattr(indexes, "find_spec", lambda name: None)
    assert index_name(500_001) == "exact"
    monkeypatch.setattr(indexes, "find_spec", lambda name: name)
    assert [index_name(size) for size in (500_000, 500_001)] == ["exact", "hnsw"]
    assert {*INDEXES} == {"exact", "hnsw"}


def test_a_small_index_is_exact():
    vectors, groups = drawn(1, 9, 3, 4)
    assert isinstance(make_index(vectors, groups), ExactIndex)
