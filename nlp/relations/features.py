"""Where a pair's bookmark and mention stand to each other and to the rest of the sentence.

Each feature is a small whole number. All of them together are places in one table of `FEATURES`
rows, so that a network needs one embedding for them. Many sentences are looked at together: their
items stand one after the other in arrays, and what lies between two items is a difference of
running counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nlp.ontology import EXCLUSIVE, ONE_BRANCH, Ontology
from nlp.relations.cues import CUES

MENTIONS: Final = ("bodypart", "type", "attribute", "other")
CURRENT: Final = ("hyperlink", "measurement", "slice")
KINDS: Final = ("word", *MENTIONS, *CURRENT, "prior", *CUES)
SCOPES: Final = ("none", *CUES, "heading")
JOINTS: Final = frozenset({"and", "or", "/"})
_CLAUSE_MARKS: Final = frozenset(", ; . : ( ) and or with which while but".split())
_SENTENCE_MARKS: Final = frozenset("; . : but while whereas".split())

# The number of values of each feature, in the order of `pair_features`.
_SIZES: Final = (3, 3, 6, 4, 2, 3, 2, 4, len(SCOPES), len(MENTIONS), 3, 7, 3, 4, 4, 5)
FEATURES: Final = sum(_SIZES)
_OFFSETS: Final = np.cumsum((0, *_SIZES[:-1]))

_BODYPART: Final = KINDS.index("bodypart")
_OTHER: Final = KINDS.index("other")
_FIRST_CURRENT, _LAST_CURRENT = KINDS.index(CURRENT[0]), KINDS.index(CURRENT[-1])
_CLAUSE, _SENTENCE, _JOINT = 1, 2, 4  # what a word separates or joins
_MARKS: Final = {
    word: _CLAUSE * (word in _CLAUSE_MARKS)
    + _SENTENCE * (word in _SENTENCE_MARKS)
    + _JOINT * (word in JOINTS)
    for word in _CLAUSE_MARKS | _SENTENCE_MARKS | JOINTS
}

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def pair_features(
    words: Sequence[Sequence[str]],
    kinds: Sequence[Sequence[int]],
    terms: Sequence[Sequence[str]],
    scopes: Sequence[Sequence[int]],
    pairs: Sequence[Sequence[tuple[int, int]]],
    ontology: Ontology,
) -> list[Ints]:
    """The features of each sentence's pairs, as rows of one table of `FEATURES` rows.

    Args:
        words: What stands at each item of each sentence.
        kinds: The kind of each item, as places in `KINDS`.
        terms: The label of each mention, by item.
        scopes: The cue whose scope reaches each item, as places in `SCOPES`.
        pairs: Bookmark item and mention item of each pair.
        ontology: Tells which terms exclude each other, and which are of one branch.

    Returns:
        For each sentence an array of shape (pairs, features).
    """
    lengths, counts = _lengths(words), _lengths(pairs)
    if not counts.sum():
        return [np.zeros((0, len(_SIZES)), dtype=np.int64) for _ in pairs]
    starts = _before(lengths)
    sentence = np.repeat(np.arange(len(pairs)), counts)
    start, end = starts[sentence], starts[sentence + 1]
    ends = np.array(list(chain.from_iterable(pairs)), dtype=np.int64) + start[:, None]
    bookmark, mention = ends.T
    low, high = ends.min(axis=1), ends.max(axis=1)
    distance = high - low

    kind = _joined(kinds)
    marks = np.array([_MARKS.get(word, 0) for word in chain.from_iterable(words)], dtype=np.int64)
    clauses, sentences, joints = (_before(marks & bit > 0) for bit in (_CLAUSE, _SENTENCE, _JOINT))
    is_current = np.zeros(len(kind), dtype=bool)
    is_current[bookmark] = True
    currents = _before(is_current)
    single = currents[end] - currents[start] == 1
    named = np.where((kind >= _BODYPART) & (kind <= _OTHER), kind, _OTHER)[mention] - _BODYPART
    of_kind = np.stack([_before(kind == k) for k in range(_BODYPART, _OTHER + 1)])

    left, right = _neighbours(np.flatnonzero(is_current), mention, start, end)

    def far(item: Ints) -> Ints:
        """How far a mention is from an item; the end of a clause counts as distance."""
        steps = np.abs(item - mention) + 2 * np.abs(clauses[item] - clauses[mention])
        return np.where(item < 0, np.iinfo(np.int64).max, steps)

    nearest = np.where(is_current[mention], 0, np.minimum(far(left), far(right)))
    passed = clauses[high] - clauses[low]
    columns = (
        np.where(mention < bookmark, 0, np.where(mention > bookmark, 1, 2)),
        np.where(single, 0, np.clip(currents[high] - currents[low + 1], 0, 2)),
        np.minimum(passed, 5),
        np.clip(of_kind[named, high] - of_kind[named, low + 1], 0, 3),
        far(bookmark) <= nearest,
        np.where(bookmark == left, 0, np.where(bookmark == right, 1, 2)),
        (left >= 0) & (right >= 0),
        np.minimum(currents[end] - currents[start] - 1, 3),
        _joined(scopes)[mention],
        named,
        np.minimum(joints[high] - joints[low], 2),
        np.minimum(np.frexp(distance)[1], 6),  # its number of bits
        np.minimum(sentences[high] - sentences[low], 2),
        *_related(terms, ends, counts, ontology),
        _shapes(kind, sentences[:-1] + np.repeat(np.arange(len(lengths)), lengths))[bookmark],
    )
    table = np.stack(columns, axis=1).astype(np.int64) + _OFFSETS
    return np.split(table, np.cumsum(counts)[:-1])


def _lengths(rows: Sequence[Sequence[object]]) -> Ints:
    return np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))


def _joined(rows: Sequence[Sequence[int]]) -> Ints:
    return np.array(list(chain.from_iterable(rows)), dtype=np.int64)


def _before(values: Ints | Bools) -> Ints:
    """The sum of the values before each place, and of all of them; shape: (n + 1,)."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _neighbours(places: Ints, mention: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """The places just before and just after each mention, within [start, end); -1 for none."""
    bounded = np.concatenate([[-1], places, [np.iinfo(np.int64).max]])
    left = bounded[np.searchsorted(places, mention, side="left")]
    right = bounded[np.searchsorted(places, mention, side="right") + 1]
    return np.where(left >= start, left, -1), np.where(right < end, right, -1)


def _shapes(kind: Ints, part: Ints) -> Ints:
    """How places and bookmarks alternate in the part of the sentence that an item stands in.

    "Lingula 4 mm, left base 6 mm" begins with a place and ends with a bookmark, "4 mm in the
    lingula, 6 mm in the left base" the other way round: it tells which place a size goes with.

    Args:
        kind: The kind of each item.
        part: The number of each item's part of a sentence, ascending.

    Returns:
        0 without places and bookmarks, else 1 to 4.
    """
    shapes = np.zeros(part[-1] + 1, dtype=np.int64)
    telling = np.flatnonzero(
        (kind == _BODYPART) | ((kind >= _FIRST_CURRENT) & (kind <= _LAST_CURRENT))
    )
    is_place = kind[telling] == _BODYPART
    parts, first, counts = np.unique(part[telling], return_index=True, return_counts=True)
    shapes[parts] = 1 + 2 * is_place[first] + is_place[first + counts - 1]
    return shapes[part]


def _related(
    terms: Sequence[Sequence[str]], ends: Ints, counts: Ints, ontology: Ontology
) -> tuple[Ints, Ints]:
    """For each pair, where the sentence's related mentions lie, seen from the bookmark.

    Returns:
        Two arrays, for the terms that exclude the pair's own and for those of one branch with it:
        0 for none, 1 if some lie nearer than the pair's mention, 2 farther, 3 both.
    """
    bookmark, mention = ends.T
    sentence = np.repeat(np.arange(len(counts)), counts)
    named = np.unique(mention)
    every_term = list(chain.from_iterable(terms))
    numbers = dict(ontology.term_index)  # and, below, those of terms that the table lacks
    number = np.array([numbers.setdefault(every_term[i], len(numbers)) for i in named])
    row = np.minimum(number, len(ontology.terms))
    # Each pair with each mention of its sentence; `own` and `other` are places in `named`.
    bounds = np.searchsorted(named, _before(_lengths(terms)))
    others = np.diff(bounds)[sentence]
    pair = np.repeat(np.arange(len(ends)), others)
    within = np.arange(len(pair)) - np.repeat(_before(others)[:-1], others)
    other = bounds[sentence][pair] + within
    own = np.searchsorted(named, mention)[pair]
    relation = ontology.kinship[row[own], row[other]]
    relation[number[own] == number[other]] = ONE_BRANCH
    nearer = np.abs(named[other] - bookmark[pair]) < np.abs(mention - bookmark)[pair]
    told = other != own

    def where(kinship: int) -> Ints:
        chosen = told & (relation == kinship)
        near = np.bincount(pair[chosen & nearer], minlength=len(ends)) > 0
        far = np.bincount(pair[chosen & ~nearer], minlength=len(ends)) > 0
        return near + 2 * far

    return where(EXCLUSIVE), where(ONE_BRANCH)
