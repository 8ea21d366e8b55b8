"""Where a pair's bookmark and mention stand to each other and to the rest of the sentence.

Each feature is a small whole number. All of them together are places in one table of `FEATURES`
rows, so that a network needs one embedding for them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nlp.ontology import Ontology
from nlp.relations.cues import CUES

MENTIONS: Final = ("bodypart", "type", "attribute", "other")
CURRENT: Final = ("hyperlink", "measurement", "slice")
SCOPES: Final = ("none", *CUES, "heading")
JOINTS: Final = frozenset({"and", "or", "/"})
_CLAUSE_MARKS: Final = frozenset(", ; . : ( ) and or with which while but".split())
_SENTENCE_MARKS: Final = frozenset("; . : but while whereas".split())

# The number of values of each feature, in the order of `pair_features`.
_SIZES: Final = (3, 3, 6, 4, 2, 3, 2, 4, len(SCOPES), len(MENTIONS), 3, 7, 3, 4, 4, 5)
FEATURES: Final = sum(_SIZES)
_OFFSETS: Final = np.cumsum((0, *_SIZES[:-1]))
_MENTION_NUMBERS: Final = {name: number for number, name in enumerate(MENTIONS)}
_SCOPE_NUMBERS: Final = {name: number for number, name in enumerate(SCOPES)}


def pair_features(
    words: list[str],
    names: list[str],
    terms: list[str],
    scopes: list[str],
    pairs: list[tuple[int, int]],
    ontology: Ontology,
) -> list[tuple[int, ...]]:
    """The features of each pair, small whole numbers.

    Args:
        words: What stands at each item of the sentence.
        names: The kind of each item.
        terms: The label of each mention, by item.
        scopes: The cue whose scope reaches each item.
        pairs: Bookmark item and mention item of each pair.
        ontology: Tells which terms exclude each other, and which are of one branch.

    Returns:
        Shape: (pairs, features); the values of a feature begin with 0, see `rows_of`.
    """
    current = sorted({bookmark for bookmark, _ in pairs})
    clauses = _places(words, _CLAUSE_MARKS)
    sentences = _places(words, _SENTENCE_MARKS)
    joints = _places(words, JOINTS)
    alike = {kind: _places(names, (kind,)) for kind in MENTIONS}
    excluding, akin = _relatives(terms, pairs, ontology)
    shapes = _shapes(names, sentences)
    features: list[tuple[int, ...]] = []
    single = len(current) == 1
    for bookmark, mention in pairs:
        low, high = (bookmark, mention) if bookmark < mention else (mention, bookmark)
        kind = names[mention] if names[mention] in MENTIONS else "other"
        distance = high - low
        passed = _between(clauses, low, high)
        left = right = None
        least = distance + 2 * passed
        if not single:
            left = current[bisect_left(current, mention) - 1] if current[0] < mention else None
            right = current[bisect_right(current, mention)] if current[-1] > mention else None
            least = min(
                abs(c - mention) + 2 * _between(clauses, min(c, mention), max(c, mention))
                for c in current
            )
        elif bookmark < mention:
            left = bookmark
        elif bookmark > mention:
            right = bookmark
        features.append(
            (
                0 if mention < bookmark else 1 if mention > bookmark else 2,
                0 if single else min(_between(current, low + 1, high), 2),
                min(passed, 5),
                min(_between(alike[kind], low + 1, high), 3),
                int(distance + 2 * passed <= least),
                0 if bookmark == left else 1 if bookmark == right else 2,
                int(left is not None and right is not None),
                min(len(current) - 1, 3),
                _SCOPE_NUMBERS[scopes[mention]],
                _MENTION_NUMBERS[kind],
                min(_between(joints, low, high), 2),
                min(distance.bit_length(), 6),
                min(_between(sentences, low, high), 2),
                _nearer_and_farther(excluding.get(mention, ()), bookmark, distance),
                _nearer_and_farther(akin.get(mention, ()), bookmark, distance),
                shapes[bookmark],
            )
        )
    return features


def rows_of(features: Sequence[tuple[int, ...]]) -> NDArray[np.int64]:
    """The features as rows of one table of `FEATURES` rows; shape: (pairs, features)."""
    rows: NDArray[np.int64] = np.array(features, dtype=np.int64) + _OFFSETS
    return rows


def _places(values: list[str], of: Collection[str]) -> list[int]:
    return [place for place, value in enumerate(values) if value in of]


def _between(places: list[int], start: int, end: int) -> int:
    """How many of the places lie in [start, end)."""
    if not places:
        return 0
    return max(bisect_left(places, end) - bisect_left(places, start), 0)


def _shapes(names: list[str], ends: list[int]) -> list[int]:
    """How places and bookmarks alternate in the part of the sentence that an item stands in.

    "Lingula 4 mm, left base 6 mm" begins with a place and ends with a bookmark, "4 mm in the
    lingula, 6 mm in the left base" the other way round: it tells which place a size goes with.
    """
    shapes: list[int] = []
    for end in (*ends, len(names)):
        start = len(shapes)
        part = [name for name in names[start:end] if name == "bodypart" or name in CURRENT]
        shape = 1 + 2 * (part[0] == "bodypart") + (part[-1] == "bodypart") if part else 0
        shapes += [shape] * (end + 1 - start)
    return shapes


def _relatives(
    terms: list[str], pairs: list[tuple[int, int]], ontology: Ontology
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """For each mention the items of terms that exclude its own, and of those in one branch."""
    excluding: dict[int, list[int]] = {}
    akin: dict[int, list[int]] = {}
    for a, b in combinations(sorted({mention for _, mention in pairs}), 2):
        first, second = terms[a], terms[b]
        if second in ontology.exclusions.get(first, ()):
            related = excluding
        elif first == second or (
            first in ontology and second in ontology and ontology.same_branch(first, second)
        ):
            related = akin
        else:
            continue
        related.setdefault(a, []).append(b)
        related.setdefault(b, []).append(a)
    return excluding, akin


def _nearer_and_farther(items: Collection[int], bookmark: int, distance: int) -> int:
    """Whether some of the items lie nearer to the bookmark (1), farther (2), or both (3)."""
    if not items:
        return 0
    nearer = any(abs(item - bookmark) < distance for item in items)
    farther = any(abs(item - bookmark) >= distance for item in items)
    return nearer + 2 * farther
