"""Score the whole way from a sentence's text to its relations, and say where pairs are lost.

The project finds its own bookmarks and mentions in the text and decides their relations. What it
calls relevant or uncertain is compared with the gold pairs so called whose term is a label.

**What counts as found.** A gold bookmark is found if a bookmark of this study that overlaps it was
found, a gold mention if a mention of the same label that overlaps it was. Both one to one, the
greatest share of common characters first. Two rules make that fair:

1. A mention of a finer label stands for the gold label where no mention of that label itself does
   ("right lower lobe" for "right lung" in "right lung lower lobe"): it states all labels above it.
2. The gold mentions are the longest contiguous words that a list of synonyms has, without overlaps,
   and nothing put together from words apart ("hilar and mediastinal lymph nodes" is *hilum* and
   *mediastinum lymph node*). The matcher finds more: *hilum lymph node* there, both lungs in
   "lungs", *kidney* in "renal artery". A mention that is the counterpart of none, but overlaps a
   gold mention, is set aside, since the annotation can't say whether it is right: if its rule
   is neither `synonym` nor `abbreviation`, if it is above or below the gold label, or if no
   gold mention there is a label (those are not scored).

By the first rule finer labels are trusted, by the second wrong compositions go unpunished, so
`same_terms_only` tells the scores without the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from nlp.bookmarks import find_bookmarks
from nlp.components import load_pipeline
from nlp.matching import mentions_of
from nlp.ontology import Ontology
from nlp.records import Bookmark, Mention, Passage
from nlp.relations import RelationModel, classify_relations
from nlp.relations.corpus import passage_of
from nlp.relations.metrics import precision_recall

CALLED: Final = {"relevant_or_uncertain": ("relevant", "uncertain"), "relevant": ("relevant",)}
LOSSES: Final = ("bookmark", "mention", "relation")
_AS_WRITTEN: Final = ("synonym", "abbreviation")
Item = TypeVar("Item", Bookmark, Mention)


class Alignment(NamedTuple):
    """Which found bookmark (id) and mention (place) is which gold one; mentions that count."""

    bookmarks: dict[str, str]
    mentions: dict[int, int]
    gold_counts: frozenset[int]
    found_counts: frozenset[int]


def score_end_to_end(
    passages: Sequence[Passage], model: RelationModel, ontology: Ontology
) -> dict[str, Any]:
    """Score a model on the bookmarks and mentions that the project finds in annotated sentences.

    Returns:
        See `score_found`.
    """
    found = classify_relations(map(find_items, passages), model)
    return score_found(passages, list(found), ontology)


def score_found(
    gold: Sequence[Passage], found: Sequence[Passage], ontology: Ontology
) -> dict[str, Any]:
    """Score what was found in annotated sentences.

    Args:
        gold: The annotated sentences.
        found: The same sentences as the project sees them.
        ontology: Its labels are scored.

    Returns:
        For `relevant_or_uncertain` and `relevant`: `precision`, `recall`, `f1`; `gold`, `found` and
        `right` pairs; `missed`, the gold pairs lost because the bookmark or else the mention was
        not found, or else the relation was wrong; `extra`, the found pairs with no such bookmark,
        or else no such mention, or else another gold relation; `set_aside`, found pairs that
        are not scored; `same_terms_only`, see the module. `right` and `missed` add up to `gold`,
        `right` and `extra` to `found`.
    """
    both = list(zip(gold, found, strict=True))
    aligned = [align(*pair, ontology) for pair in both]
    strictly = [align(*pair, ontology, lenient=False) for pair in both]
    return {
        name: {
            **_figures(_tally(both, aligned, called)),
            "same_terms_only": _rates(_tally(both, strictly, called)),
        }
        for name, called in CALLED.items()
    }


def find_items(passage: Passage) -> Passage:
    """The same sentence with the bookmarks and mentions that the project finds in it."""
    pipeline = load_pipeline()
    text = passage.report.text
    return passage_of(text, find_bookmarks(text), mentions_of(pipeline(text)), pipeline)


def align(gold: Passage, found: Passage, ontology: Ontology, *, lenient: bool = True) -> Alignment:
    """Find the counterparts of gold bookmarks and mentions; see the module.

    Args:
        gold: An annotated sentence.
        found: The same sentence as the project sees it.
        ontology: Its labels are scored.
        lenient: Whether the two rules of the module hold.
    """

    def fit(ours: Mention, theirs: Mention) -> int:
        if theirs.term not in ontology.label_index:
            return 0
        finer = lenient and theirs.term in ontology.ancestors.get(ours.term, ())
        return 2 if ours.term == theirs.term else int(finer)

    bookmarks = _one_to_one(found.current, gold.current, lambda ours, theirs: 1)
    mentions = _one_to_one(found.mentions, gold.mentions, fit)
    return Alignment(
        bookmarks={found.current[i].id: gold.current[j].id for i, j in bookmarks.items()},
        mentions=mentions,
        gold_counts=frozenset(
            j for j, m in enumerate(gold.mentions) if m.term in ontology.label_index
        ),
        found_counts=frozenset(
            i
            for i, m in enumerate(found.mentions)
            if m.term in ontology.label_index
            and (i in mentions or not (lenient and _is_set_aside(m, gold.mentions, ontology)))
        ),
    )


def _one_to_one(
    found: Sequence[Item], gold: Sequence[Item], fit: Callable[[Item, Item], int]
) -> dict[int, int]:
    """Pair overlapping items, best fit first, then by share of common characters; 0 fits not."""
    candidates = sorted(
        (-fit(a, b), -_common(a, b), i, j)
        for i, a in enumerate(found)
        for j, b in enumerate(gold)
        if _common(a, b) and fit(a, b)
    )
    paired: dict[int, int] = {}
    for _, _, i, j in candidates:
        if i not in paired and j not in paired.values():
            paired[i] = j
    return paired


def _common(a: Bookmark | Mention, b: Bookmark | Mention) -> float:
    """Characters in both, as a share of those in either."""
    both = min(a.end, b.end) - max(a.start, b.start)
    return max(0, both) / (max(a.end, b.end) - min(a.start, b.start))


def _is_set_aside(mention: Mention, gold: Sequence[Mention], ontology: Ontology) -> bool:
    """Whether the annotation can't say if a mention without counterpart is right."""
    there = [m.term for m in gold if _common(mention, m)]
    scored = [term for term in there if term in ontology.label_index]
    return bool(there) and (
        mention.rule not in _AS_WRITTEN
        or not scored
        or any(ontology.same_branch(mention.term, term) for term in scored)
    )


def _figures(tally: Counter[str]) -> dict[str, Any]:
    right = tally["right"]
    return {
        **_rates(tally),
        "gold": right + _sum(tally, "missed"),
        "found": right + _sum(tally, "extra"),
        "right": right,
        "missed": {loss: tally[f"missed {loss}"] for loss in LOSSES},
        "extra": {loss: tally[f"extra {loss}"] for loss in LOSSES},
        "set_aside": tally["set aside"],
    }


def _rates(tally: Counter[str]) -> dict[str, float]:
    right = tally["right"]
    return precision_recall(right, right + _sum(tally, "extra"), right + _sum(tally, "missed"))


def _sum(tally: Counter[str], side: str) -> int:
    return sum(tally[f"{side} {loss}"] for loss in LOSSES)


def _tally(
    both: Sequence[tuple[Passage, Passage]], aligned: Sequence[Alignment], called: Collection[str]
) -> Counter[str]:
    """Count the fates of gold and found pairs: right, missed or extra and why, set aside."""
    return Counter(
        fate
        for (gold, found), alignment in zip(both, aligned, strict=True)
        for fate in _fates(gold, found, alignment, called)
    )


def _fates(
    gold: Passage, found: Passage, alignment: Alignment, called: Collection[str]
) -> Iterator[str]:
    """Each gold pair that is missed, each found pair that is right, extra or set aside."""
    stated, ours = _called(gold, called), _called(found, called)
    bookmarks, mentions = alignment.bookmarks, alignment.mentions
    right = set()
    for bookmark, mention in ours:
        pair = (bookmarks.get(bookmark), mentions.get(mention))
        if mention not in alignment.found_counts:
            yield "set aside"
        elif pair in stated:
            right.add(pair)
            yield "right"
        else:
            yield f"extra {_loss(pair[0] is not None, pair[1] is not None)}"
    for bookmark, mention in stated - right:
        if mention in alignment.gold_counts:
            seen = (bookmark in bookmarks.values(), mention in mentions.values())
            yield f"missed {_loss(*seen)}"


def _called(passage: Passage, called: Collection[str]) -> set[tuple[str, int]]:
    return {(r.bookmark, r.mention) for r in passage.relations if r.relation in called}


def _loss(bookmark: bool, mention: bool) -> str:
    """The first thing that went wrong."""
    return "relation" if bookmark and mention else "mention" if bookmark else "bookmark"
