"""A passage as the sequence that the networks read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nlp.ontology import Ontology
from nlp.records import Passage, Token
from nlp.relations import pairs_of
from nlp.relations.cues import CUES, find_cues

PAD: Final = "<pad>"
UNKNOWN: Final = "<unk>"
NUMBER: Final = "<number>"
KINDS: Final = (
    *("word", "bodypart", "type", "attribute", "other"),
    *("hyperlink", "measurement", "slice", "prior"),
    *CUES,
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Items of a sentence and the pairs to decide.

    Every mention and bookmark is one item, whose word is its kind: what counts is how a sentence
    speaks of a label, not which label it is. A word of a cue ("likely", "adjacent to") keeps its
    word and has the cue's kind, so that a rare hedge is still known for one. `pairs` hold
    (bookmark item, mention item).
    """

    words: list[str]
    kinds: list[int]
    pairs: list[tuple[int, int]]


def encode(passage: Passage, ontology: Ontology) -> Encoded:
    """Put mentions and bookmarks in place of their tokens; the longest first where two overlap."""
    spans: list[tuple[int, int, str]] = [(b.start, b.end, b.kind) for b in passage.bookmarks]
    for mention in sorted(passage.mentions, key=lambda m: (m.rule == "split", m.start - m.end)):
        if not any(mention.start < end and start < mention.end for start, end, _ in spans):
            kind = ontology[mention.term].kind if mention.term in ontology else "other"
            spans.append((mention.start, mention.end, kind if kind in KINDS else "other"))
    at = passage.sentence.start
    cues = [(at + start, at + end, kind) for start, end, kind in find_cues(passage.sentence.text)]
    items = [
        (t.start, t.end, _kind(t, cues), NUMBER if t.text[0].isdigit() else t.lemma)
        for t in passage.tokens
        if not any(t.start < end and start < t.end for start, end, _ in spans)
    ]
    items += [(start, end, kind, f"<{kind}>") for start, end, kind in spans]
    items.sort()
    starts = [item[0] for item in items]
    place = {b.id: _place(b.start, starts) for b in passage.bookmarks}
    return Encoded(
        words=[item[3] for item in items],
        kinds=[KINDS.index(item[2]) for item in items],
        pairs=[
            (place[bookmark], _place(passage.mentions[mention].start, starts))
            for bookmark, mention in pairs_of(passage)
        ],
    )


def _kind(token: Token, cues: list[tuple[int, int, str]]) -> str:
    return next((kind for start, end, kind in cues if start <= token.start < end), "word")


def _place(start: int, starts: list[int]) -> int:
    """The item that holds a place: the last one that begins at or before it."""
    return max(sum(s <= start for s in starts) - 1, 0)


def word_ids(words: list[str], vocabulary: Mapping[str, int]) -> list[int]:
    """The numbers of words; an unknown one has the number of `UNKNOWN`."""
    unknown = vocabulary[UNKNOWN]
    return [vocabulary.get(word, unknown) for word in words]
