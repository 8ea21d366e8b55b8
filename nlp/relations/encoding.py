"""A passage as the sequence and the pair features that the networks read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from nlp.ontology import Ontology
from nlp.records import Passage
from nlp.relations import pairs_of
from nlp.relations.cues import CUES, cue_kinds

PAD: Final = "<pad>"
UNKNOWN: Final = "<unk>"
NUMBER: Final = "<number>"
MENTIONS: Final = ("bodypart", "type", "attribute", "other")
CURRENT: Final = ("hyperlink", "measurement", "slice")
KINDS: Final = ("word", *MENTIONS, *CURRENT, "prior", *CUES)
SCOPES: Final = ("none", *CUES, "heading")

# Where the scope of a cue ends, for all cues and for each kind; lemmas of WordNet included.
_ENDS: Final = frozenset("; . but which however although is are was were wa be".split())
_SCOPE_ENDS: Final = {
    "negation": _ENDS | {":"},
    "hedge": _ENDS | {"in", "within", "with", "at"},
    "landmark": _ENDS | set(", : ( ) that with in within".split()),
    "past": _ENDS | set(", : ( ) that with in within".split()),
    "likeness": _ENDS | set(", : ( ) that with in within".split()),
    "company": _ENDS | set(": ( ) that".split()),
    "reach": _ENDS | set(": ( ) that with".split()),
    "group": frozenset("; . : ( )".split()),
    "technique": _ENDS | set(", : ( ) that with show reveal demonstrate".split()),
}
_CLAUSE_MARKS: Final = frozenset(", ; . : ( ) and or with which while but".split())
_SENTENCE_MARKS: Final = frozenset("; . : but while whereas".split())
_JOINTS: Final = frozenset({"and", "or", "/"})

# The number of values of each pair feature, in the order of `_features`.
_SIZES: Final = (3, 3, 6, 4, 2, 3, 2, 4, len(SCOPES), len(MENTIONS), 3, 7, 3)
FEATURES: Final = sum(_SIZES)
_OFFSETS: Final = tuple(accumulate((0, *_SIZES[:-1])))


@dataclass(frozen=True, slots=True)
class Encoded:
    """Items of a sentence and the pairs to decide.

    Every mention and bookmark is one item, whose word is its kind: what counts is how a sentence
    speaks of a label, not which label it is. A word of a cue ("likely", "adjacent to") keeps its
    word and has the cue's kind, so that a rare hedge is still known for one. `scopes` tell which
    cue reaches an item. `pairs` hold (bookmark item, mention item), `features` where the two stand
    to each other and to the other bookmarks, as places in one table of `FEATURES` rows.
    """

    words: list[str]
    kinds: list[int]
    scopes: list[int]
    pairs: list[tuple[int, int]]
    features: list[list[int]]


def encode(passage: Passage, ontology: Ontology) -> Encoded:
    """Put mentions and bookmarks in place of their tokens; the longest first where two overlap."""
    tokens = passage.tokens
    starts, ends = [t.start for t in tokens], [t.end for t in tokens]
    kinds = [KINDS.index(kind or "word") for kind in cue_kinds([t.text for t in tokens])]
    words = [NUMBER if t.text[0].isdigit() else t.lemma for t in tokens]
    spans: list[tuple[int, int, str]] = [(b.start, b.end, b.kind) for b in passage.bookmarks]
    for mention in sorted(passage.mentions, key=lambda m: (m.rule == "split", m.start - m.end)):
        kind = ontology[mention.term].kind if mention.term in ontology else "other"
        spans.append((mention.start, mention.end, kind if kind in MENTIONS else "other"))
    owner = list(range(len(tokens)))  # the first token of the item that a token belongs to
    taken = [False] * len(tokens)
    for start, end, kind in spans:
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first < last and not any(taken[first:last]):
            taken[first:last] = [True] * (last - first)
            owner[first:last] = [first] * (last - first)
            words[first], kinds[first] = f"<{kind}>", KINDS.index(kind)
    kept = [i for i, first in enumerate(owner) if i == first]
    item = {first: place for place, first in enumerate(kept)}

    def place(start: int) -> int:
        return item[owner[min(bisect_right(ends, start), len(tokens) - 1)]]

    places = {b.id: place(b.start) for b in passage.bookmarks}
    named = [place(m.start) for m in passage.mentions]
    return build(
        [words[i] for i in kept],
        [kinds[i] for i in kept],
        [(places[bookmark], named[mention]) for bookmark, mention in pairs_of(passage)],
    )


def build(words: list[str], kinds: list[int], pairs: list[tuple[int, int]]) -> Encoded:
    """Add scopes and pair features to items."""
    scopes = _scopes(words, kinds)
    return Encoded(words, kinds, scopes, pairs, _features(words, kinds, scopes, pairs))


def word_ids(words: list[str], vocabulary: Mapping[str, int]) -> list[int]:
    """The numbers of words; an unknown one has the number of `UNKNOWN`."""
    unknown = vocabulary[UNKNOWN]
    return [vocabulary.get(word, unknown) for word in words]


def _scopes(words: list[str], kinds: list[int]) -> list[int]:
    """The cue whose scope an item stands in; items before the first colon stand in the heading."""
    scopes: list[int] = []
    active = ""
    for place, (word, kind) in enumerate(zip(words, kinds, strict=True)):
        if (name := KINDS[kind]) in CUES:
            active = name
        elif active and (word in _SCOPE_ENDS[active] or _ends_list(words, place, active)):
            active = ""
        scopes.append(SCOPES.index(active or "none"))
    colon = words.index(":") if ":" in words[:8] else 0
    heading = SCOPES.index("heading")
    return [heading if i < colon and scope == 0 else scope for i, scope in enumerate(scopes)]


def _ends_list(words: list[str], place: int, active: str) -> bool:
    """Whether a comma ends a negation: in "no fat, calcification or cavity" it does not."""
    if words[place] != "," or active != "negation":
        return False
    return not any(word in _JOINTS for word in words[place + 1 : place + 5])


def _features(
    words: list[str], kinds: list[int], scopes: list[int], pairs: list[tuple[int, int]]
) -> list[list[int]]:
    """The features of each pair; `_SIZES` says how many values each has."""
    names = [KINDS[kind] for kind in kinds]
    current = sorted({bookmark for bookmark, _ in pairs})
    clause = _running(word in _CLAUSE_MARKS for word in words)
    sentence = _running(word in _SENTENCE_MARKS for word in words)
    joints = _running(word in _JOINTS for word in words)
    alike = {kind: _running(name == kind for name in names) for kind in MENTIONS}
    features = []
    for bookmark, mention in pairs:
        low, high = sorted((bookmark, mention))
        kind = names[mention] if names[mention] in MENTIONS else "other"
        between = bisect_left(current, high) - bisect_right(current, low)
        left = current[bisect_left(current, mention) - 1] if current[0] < mention else None
        right = current[bisect_right(current, mention)] if current[-1] > mention else None
        distance = high - low
        rivals = [abs(c - mention) + 2 * abs(clause[c] - clause[mention]) for c in current]
        own = distance + 2 * abs(clause[bookmark] - clause[mention])
        values = (
            0 if mention < bookmark else 1 if mention > bookmark else 2,
            min(between, 2),
            min(clause[high] - clause[low], 5),
            min(max(alike[kind][high] - alike[kind][min(low + 1, high)], 0), 3),
            int(own <= min(rivals)),
            0 if bookmark == left else 1 if bookmark == right else 2,
            int(left is not None and right is not None),
            min(len(current) - 1, 3),
            scopes[mention],
            MENTIONS.index(kind),
            min(joints[high] - joints[low], 2),
            min(distance.bit_length(), 6),
            min(sentence[high] - sentence[low], 2),
        )
        features.append([a + b for a, b in zip(_OFFSETS, values, strict=True)])
    return features


def _running(flags: Iterable[bool]) -> list[int]:
    """How many flags are set before each place, and in all."""
    return list(accumulate(flags, initial=0))
