"""Words that decide what a sentence says of a mention: negation, hedges, landmarks, technique.

The lists are English usage, written down for this project; scope runs from a cue to the next
mark that ends a clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nlp.records import Bookmark, Mention

Context = Literal["negated", "landmark", "exam", "past", "hedged", "stated"]


def _cues(*phrases: str) -> re.Pattern[str]:
    words = "|".join(re.escape(p).replace(r"\ ", r"\s+") for p in sorted(phrases, key=len)[::-1])
    return re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE)


NEGATION: Final = _cues(
    "no", "not", "without", "no evidence of", "negative for", "absence of", "absent", "free of",
    "rather than", "instead of", "resolved", "lack of", "no longer", "neither", "nor", "denies",
    "excluding", "unlike", "w/o", "did not", "does not", "non",
)  # fmt: skip
LANDMARK: Final = _cues(
    "adjacent to", "next to", "abutting", "abuts", "anterior to", "posterior to", "lateral to",
    "medial to", "superior to", "inferior to", "cephalad to", "caudal to", "cranial to",
    "proximal to", "distal to", "near", "between", "above", "below", "displacing", "displaces",
    "compressing", "compresses", "encasing", "encases", "separate from", "in contact with",
    "contacting", "close to", "behind", "beneath", "beside", "effacing", "effaces", "deep to",
    "superficial to", "ventral to", "dorsal to", "surrounding", "obstructing", "narrowing",
    "anterolateral to", "posterolateral to", "anteromedial to", "posteromedial to", "isodense to",
    "similar to", "compared to", "touching", "indenting", "distance from", "away from", "pushing",
    "with adjacent", "associated with", "causing", "with associated", "resulting in",
    "secondary to",
)  # fmt: skip
HEDGE: Final = _cues(
    "likely", "probable", "probably", "possible", "possibly", "may", "might", "could", "perhaps",
    "suspicious for", "suspicious of", "concerning for", "suggestive of", "suggesting", "suggests",
    "favored", "favor", "favors", "in favor of", "versus", "vs", "question of", "questionable",
    "suspected", "suspicion of", "cannot exclude", "cannot be excluded", "not excluded",
    "presumably", "presumed", "presumptive", "worrisome for", "differential", "consider",
    "potentially", "equivocal", "thought to", "cannot rule out", "r/o", "rule out", "either",
    "could represent", "raising the possibility of", "appears to", "?",
)  # fmt: skip
PAST: Final = _cues(
    "status post", "s/p", "history of", "h/o", "post", "prior", "previous", "known history",
    "following", "after", "resected", "removed",
)  # fmt: skip
TECHNIQUE: Final = _cues("CT", "MRI", "PET", "scan", "windows", "ultrasound", "radiograph")
CUES: Final = {
    "negation": NEGATION,
    "hedge": HEDGE,
    "landmark": LANDMARK,
    "past": PAST,
    "technique": TECHNIQUE,
}
_EXAM: Final = re.compile(
    r"\b(?:CT|MRI|PET|tomogra\w+|radiograph\w*|scan\w*|ultrasound|x-ray)\b\s*"
    r"(?:scan|images?|imaging|examination|\(CT\))?\s*(?:(?:of|through)\s+)?(?:the\s+)?$",
    re.IGNORECASE,
)
_EXAM_AFTER: Final = re.compile(
    r"(?:[\s,/]+(?:and|chest|abdomen|pelvis|neck|thorax|abdominal|pelvic|contrast))*\s*"
    r"\(?(?:CT|MRI|PET|computed|computerized|scan|windows?)\b",
    re.IGNORECASE,
)
_OR: Final = re.compile(r"^\s*(?:or|versus|vs\.?|and/or|/)\s", re.IGNORECASE)
_OR_BEFORE: Final = re.compile(r"\b(?:or|versus|vs\.?|and/or)\s+(?:an?\s+|the\s+|\w+\s+)?$", re.I)
_QUESTION: Final = re.compile(r"^\s*\?")
_CLAUSE_END: Final = re.compile(
    r"[,;:()?]|\.\s|\b(?:but|which|that|however|although|is|are|was|were|has|have|measur\w+|with"
    r"|in|within|demonstrat\w+|show\w*|reveal\w*)\b",
    re.IGNORECASE,
)
_HEDGE_END: Final = re.compile(
    r"[;]|\.\s|\b(?:but|which|however|although|is|are|was|were|measur\w+|in|within|with|at)\b",
    re.IGNORECASE,
)
_NEGATION_END: Final = re.compile(
    r"[;:]|,(?!\s*(?:or|and)\b)|\.\s|\b(?:but|which|however|although|is|are|was|were)\b", re.I
)


@dataclass(frozen=True, slots=True)
class Cue:
    """A context and the cue that made it, for an explanation."""

    context: Context
    words: str = ""


def find_cues(text: str) -> list[tuple[int, int, str]]:
    """Where cues stand and what they are (a key of `CUES`); earlier kinds win where two overlap.

    Example:
        >>> find_cues("Cyst, not abutting the liver")
        [(6, 9, 'negation'), (10, 18, 'landmark')]
    """
    found: list[tuple[int, int, str]] = []
    for kind, cues in CUES.items():
        for match in cues.finditer(text):
            if not any(match.start() < end and start < match.end() for start, end, _ in found):
                found.append((match.start(), match.end(), kind))
    return sorted(found)


def context_of(text: str, mention: Mention) -> Cue:
    """What the words around a mention make of it.

    Example:
        >>> context_of("Nodule adjacent to the spleen", Mention(term="spleen", start=23, end=29))
        Cue(context='landmark', words='adjacent to')
    """
    before, after = text[: mention.start], text[mention.end :]
    if found := _in_scope(NEGATION, before, _NEGATION_END):
        return Cue("negated", found)
    if _EXAM.search(before) or (not before.strip() and _EXAM_AFTER.match(after)):
        return Cue("exam", "CT")
    if found := _in_scope(LANDMARK, before, _CLAUSE_END):
        return Cue("landmark", found)
    if found := _in_scope(PAST, before, _CLAUSE_END):
        return Cue("past", found)
    if found := _in_scope(HEDGE, before, _HEDGE_END):
        return Cue("hedged", found)
    if _OR.match(after) or _OR_BEFORE.search(before):
        return Cue("hedged", "or")
    if _QUESTION.match(after):
        return Cue("hedged", "?")
    return Cue("stated")


def _in_scope(cues: re.Pattern[str], before: str, end: re.Pattern[str]) -> str:
    """The last cue before a mention whose scope reaches it, or nothing."""
    found = list(cues.finditer(before))
    if not found or end.search(before, found[-1].end()):
        return ""
    return " ".join(found[-1][0].lower().split())


def nearest_bookmark(text: str, bookmarks: Sequence[Bookmark], mention: Mention) -> str:
    """The bookmark that a mention belongs to by distance; a clause's end counts as distance."""

    def distance(bookmark: Bookmark) -> tuple[float, int]:
        gap = _gap(text, bookmark, mention)
        ends = len(re.findall(r"[;,]|\band\b|\.\s", gap, re.IGNORECASE))
        crossed = sum(
            min(bookmark.end, mention.end) <= other.start < max(bookmark.start, mention.start)
            for other in bookmarks
        )
        return len(gap) + 25.0 * ends + 60.0 * crossed, bookmark.start

    return min(bookmarks, key=distance).id


def _gap(text: str, bookmark: Bookmark, mention: Mention) -> str:
    if mention.end <= bookmark.start:
        return text[mention.end : bookmark.start]
    return text[bookmark.end : mention.start]


def stated_terms(text: str, mentions: Iterable[Mention]) -> set[str]:
    """The terms that a text states of its finding: no negations, no landmarks."""
    return {m.term for m in mentions if context_of(text, m).context not in ("negated", "landmark")}
