"""A passage as the sequence and the pair features that the networks read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nlp.ontology import Ontology
from nlp.records import Passage
from nlp.relations import pairs_of
from nlp.relations.cues import CUES, cue_kinds
from nlp.relations.features import CURRENT, JOINTS, KINDS, MENTIONS, SCOPES, Ints, pair_features

PAD: Final = "<pad>"
UNKNOWN: Final = "<unk>"
NUMBER: Final = "<number>"
_NUMBERS: Final = {name: number for number, name in enumerate(KINDS)}
_MARKED: Final = frozenset(_NUMBERS[name] for name in (*MENTIONS, *CURRENT, "prior"))
_FIRST_CUE: Final = KINDS.index(next(iter(CUES)))
_SCOPE_NUMBERS: Final = {name: number for number, name in enumerate(SCOPES)}

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


@dataclass(frozen=True, slots=True)
class Items:
    """A sentence as items, one a word: a mention or a bookmark is one item, whatever its length.

    `words` are lemmas, or `<kind>` for mentions and bookmarks; `texts` what is written; `kinds`
    places in `KINDS`; `terms` the label of a mention, else nothing.
    """

    words: list[str]
    texts: list[str]
    kinds: list[int]
    terms: list[str]

    def at(self, places: Iterable[int]) -> Items:
        """The items at some places."""
        places = list(places)
        return Items(
            words=[self.words[i] for i in places],
            texts=[self.texts[i] for i in places],
            kinds=[self.kinds[i] for i in places],
            terms=[self.terms[i] for i in places],
        )

    def __add__(self, other: Items) -> Items:
        return Items(
            self.words + other.words,
            self.texts + other.texts,
            self.kinds + other.kinds,
            self.terms + other.terms,
        )


@dataclass(frozen=True, slots=True)
class Encoded:
    """Items of a sentence and the pairs to decide.

    The word of a mention or bookmark is its kind: what counts is how a sentence speaks of a label,
    not which label it is. A word of a cue ("likely", "adjacent to") keeps its word and has the
    cue's kind, so that a rare hedge is still known for one. `scopes` tell which cue reaches an
    item. `pairs` hold (bookmark item, mention item), `features` where the two stand to each other
    and to the other bookmarks, see `nlp.relations.features`; (pairs, features). `sentences` is what
    is written: one sentence, or two that were joined.
    """

    items: Items
    scopes: list[int]
    pairs: list[tuple[int, int]]
    features: Ints
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """Items of a sentence and its pairs, before their features are known; see `Encoded`."""

    items: Items
    pairs: list[tuple[int, int]]
    sentences: tuple[str, ...]


def encode(passages: Sequence[Passage], ontology: Ontology) -> list[Encoded]:
    """Passages as the networks read them; a mention or bookmark stands in place of its tokens."""
    return complete([_draft(passage, ontology) for passage in passages], ontology)


def _draft(passage: Passage, ontology: Ontology) -> Draft:
    """Put mentions and bookmarks in place of their tokens; the longest first where two overlap."""
    tokens = passage.tokens
    starts, ends = [t.start for t in tokens], [t.end for t in tokens]
    texts = [t.text for t in tokens]
    kinds = [_NUMBERS[kind or "word"] for kind in cue_kinds(texts)]
    words = [NUMBER if t.text[0].isdigit() else t.lemma for t in tokens]
    terms = [""] * len(tokens)
    spans: list[tuple[int, int, str, str]] = [
        (b.start, b.end, b.kind, "") for b in passage.bookmarks
    ]
    for mention in sorted(passage.mentions, key=lambda m: (m.rule == "split", m.start - m.end)):
        kind = ontology[mention.term].kind if mention.term in ontology else "other"
        kind = kind if kind in MENTIONS else "other"
        spans.append((mention.start, mention.end, kind, mention.term))
    owner = list(range(len(tokens)))  # the first token of the item that a token belongs to
    for start, end, kind, term in spans:
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first < last and _MARKED.isdisjoint([kinds[i] for i in owner[first:last]]):
            owner[first:last] = [first] * (last - first)
            words[first], kinds[first], terms[first] = f"<{kind}>", _NUMBERS[kind], term
            texts[first] = passage.report.text[start:end]
    kept = [i for i, first in enumerate(owner) if i == first]
    item = {first: place for place, first in enumerate(kept)}

    def place(start: int) -> int:
        return item[owner[min(bisect_right(ends, start), len(tokens) - 1)]]

    places = {b.id: place(b.start) for b in passage.bookmarks}
    named = [place(m.start) for m in passage.mentions]
    return Draft(
        Items(words, texts, kinds, terms).at(kept),
        [(places[bookmark], named[mention]) for bookmark, mention in pairs_of(passage)],
        (passage.sentence.text,),
    )


def complete(drafts: Sequence[Draft], ontology: Ontology) -> list[Encoded]:
    """Add scopes and pair features."""
    scopes = [_scopes(d.items) for d in drafts]
    features = pair_features(
        [d.items.words for d in drafts],
        [d.items.kinds for d in drafts],
        [d.items.terms for d in drafts],
        scopes,
        [d.pairs for d in drafts],
        ontology,
    )
    return [
        Encoded(d.items, found, d.pairs, rows, d.sentences)
        for d, found, rows in zip(drafts, scopes, features, strict=True)
    ]


def word_ids(words: list[str], vocabulary: Mapping[str, int]) -> list[int]:
    """The numbers of words; an unknown one has the number of `UNKNOWN`."""
    unknown = vocabulary[UNKNOWN]
    return [vocabulary.get(word, unknown) for word in words]


def _scopes(items: Items) -> list[int]:
    """The cue whose scope each item stands in; before the first colon it is the heading's."""
    words = items.words
    scopes = [_SCOPE_NUMBERS["none"]] * len(words)
    if ":" in words[:8]:
        colon = words.index(":")
        scopes[:colon] = [_SCOPE_NUMBERS["heading"]] * colon
    active = ""
    for place, kind in enumerate(items.kinds):
        if kind >= _FIRST_CUE:
            active = KINDS[kind]
        elif active and (words[place] in _SCOPE_ENDS[active] or _ends_list(words, place, active)):
            active = ""
        if active:
            scopes[place] = _SCOPE_NUMBERS[active]
    return scopes


def _ends_list(words: list[str], place: int, active: str) -> bool:
    """Whether a comma ends a negation: in "no fat, calcification or cavity" it does not."""
    if words[place] != "," or active != "negation":
        return False
    return not any(word in JOINTS for word in words[place + 1 : place + 5])
