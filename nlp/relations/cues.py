"""Words that decide what a sentence says of a mention: negation, hedges, landmarks, technique.

The lists are English usage, written down for this project; scope runs from a cue to the next
mark that ends a clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from nlp.records import Bookmark, Mention
from nlp.text import tokenize

Context = Literal["negated", "landmark", "exam", "past", "hedged", "stated"]


CUES: Final[dict[str, tuple[str, ...]]] = {
    "negation": (
        "no", "not", "without", "no evidence of", "negative for", "absence of", "absent",
        "free of", "rather than", "instead of", "resolved", "lack of", "no longer", "neither",
        "nor", "denies", "excluding", "unlike", "w/o", "did not", "does not", "non", "none",
        "never", "devoid of", "lacks", "lacking", "no sign of", "no signs of", "fails to",
        "failed to", "cleared", "disappeared", "except for", "other than",
    ),
    "hedge": (
        "likely", "most likely", "probable", "probably", "possible", "possibly", "may", "might",
        "could", "perhaps", "suspicious for", "suspicious of", "suspicious", "concerning for",
        "concern for", "concern of", "suggestive of", "suggesting", "suggests", "suggest",
        "suggested", "favored", "favor", "favors", "in favor of", "favoured", "favours",
        "in favour of", "versus", "vs", "question of", "questionable", "query", "suspected",
        "suspicion of", "suspicion for", "suspect", "cannot exclude", "cannot be excluded",
        "not excluded", "not be excluded", "can not be excluded", "presumably", "presumed",
        "presumptive", "worrisome for", "differential", "differential diagnosis", "consider",
        "considered", "potentially", "potential", "equivocal", "thought to", "felt to",
        "cannot rule out", "cannot be ruled out", "r/o", "rule out", "either", "could represent",
        "may represent", "raising the possibility of", "raises the possibility of",
        "raises the question of", "raises concern for", "appears to", "seems to", "?",
        "conceivably", "indeterminate for", "until proven otherwise", "less likely",
    ),
    "landmark": (
        "adjacent to", "next to", "abutting", "abuts", "anterior to", "posterior to",
        "lateral to", "medial to", "superior to", "inferior to", "cephalad to", "caudal to",
        "cranial to", "proximal to", "distal to", "near", "between", "above", "below",
        "displacing", "displaces", "compressing", "compresses", "encasing", "encases",
        "encasement of", "separate from", "in contact with", "contacting", "contacts", "close to",
        "behind", "beneath", "beside", "effacing", "effaces", "deep to", "superficial to",
        "ventral to", "dorsal to", "surrounding", "surrounds", "obstructing", "obstructs",
        "anterolateral to", "posterolateral to", "anteromedial to", "posteromedial to",
        "superolateral to", "superomedial to", "inferolateral to", "inferomedial to", "touching",
        "touches", "indenting", "indents", "distance from", "away from", "pushing",
        "with adjacent", "neighboring", "neighbouring", "in the neighborhood of",
        "in the neighbourhood of", "contiguous with", "contiguous to", "in proximity to",
        "in close proximity to", "inseparable from", "indistinguishable from", "anterior of",
        "posterior of", "lateral of", "medial of", "in front of", "overlying", "overlies",
        "underlying", "displacement of", "compression of", "effacement of", "mass effect on",
        "attached to", "opposite", "outside", "to the right of", "to the left of",
        "up to the level of", "reaching", "bordering", "mm from", "cm from", "mm above", "cm above",
        "mm below", "cm below", "in the vicinity of", "touch",
    ),
    "likeness": (
        "isodense to", "isodense with", "similar to", "compared to", "compared with",
        "relative to", "in comparison to", "in comparison with", "comparable to", "same as",
        "isoattenuating to",
    ),
    "company": (
        "associated with", "causing", "causes", "with associated", "associated", "resulting in",
        "results in", "secondary to", "leading to", "leads to", "accompanied by", "accompanying",
        "accompanies", "due to", "caused by", "with resultant", "resultant", "narrowing",
        "along with", "as well as", "together with", "in addition", "in addition to", "upstream",
        "concomitant", "coexisting", "producing", "produces", "responsible for",
        "with consequent",
    ),
    "reach": (
        "extending into", "extends into", "extension into", "extending to", "extends to",
        "invading", "invades", "invasion of", "involving", "involves", "involvement of",
        "infiltrating", "infiltrates", "infiltration of", "arising from", "arises from",
        "originating from", "originates from", "centered in", "centred in", "occupying",
        "occupies", "replacing", "replaces", "along", "destroying", "eroding", "erodes",
        "destruction of", "located in", "situated in", "localized in", "confined to",
        "extending through", "extends through", "protruding into", "crossing", "throughout",
        "within",
    ),
    "group": (
        "largest", "the largest", "biggest", "dominant", "index", "including", "up to",
        "for example", "e.g.", "for instance", "such as", "among them", "one of which",
        "of which", "some of which", "the rest", "others", "the other", "another", "respectively",
        "former", "latter", "each", "both", "bilateral", "multiple", "several", "numerous", "few",
        "scattered", "innumerable", "additional", "second", "third", "separate", "smaller",
        "larger",
    ),
    "past": (
        "status post", "s/p", "history of", "h/o", "post", "prior", "previous", "known history",
        "following", "after", "resected", "removed", "previously", "formerly", "earlier", "old",
        "known",
    ),
    "technique": (
        "CT", "MRI", "PET", "PET/CT", "scan", "scans", "window", "windows", "ultrasound",
        "radiograph", "radiography", "x-ray", "tomography", "computed tomography",
        "computerized tomography", "CT scan", "imaging", "image shows", "examination of",
        "reconstruction", "reformatted", "contrast-enhanced", "recommend", "recommended",
        "follow-up", "examined in", "biopsy",
    ),
}  # fmt: skip


def _cues(phrases: Iterable[str]) -> re.Pattern[str]:
    words = "|".join(re.escape(p).replace(r"\ ", r"\s+") for p in sorted(phrases, key=len)[::-1])
    return re.compile(rf"(?:\b(?=\w)|(?=\?))(?:{words})(?!\w)", re.IGNORECASE)


NEGATION: Final = _cues(CUES["negation"])
LANDMARK: Final = _cues((*CUES["landmark"], *CUES["likeness"], *CUES["company"]))
HEDGE: Final = _cues(CUES["hedge"])
PAST: Final = _cues(CUES["past"])
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


def cue_kinds(words: Sequence[str]) -> list[str]:
    """The kind of cue that each word belongs to, a key of `CUES`, or "" for none.

    Of two cues at one place the longer counts.

    Example:
        >>> cue_kinds(["Cyst", "not", "adjacent", "to", "it"])
        ['', 'negation', 'landmark', 'landmark', '']
    """
    lower = [word.lower() for word in words]
    kinds = [""] * len(words)
    cues = _cues_by_first_word()
    reached = 0
    for place in [place for place, word in enumerate(lower) if word in cues]:
        if place < reached:
            continue
        for cue, kind in cues[lower[place]]:
            if lower[place : place + len(cue)] == cue:
                reached = place + len(cue)
                kinds[place:reached] = [kind] * len(cue)
                break
    return kinds


@cache
def _cues_by_first_word() -> dict[str, list[tuple[list[str], str]]]:
    cues: dict[str, list[tuple[list[str], str]]] = {}
    for kind, phrases in CUES.items():
        for phrase in phrases:
            words = [phrase[start:end].lower() for start, end in tokenize(phrase)]
            cues.setdefault(words[0], []).append((words, kind))
    for found in cues.values():
        found.sort(key=lambda cue: -len(cue[0]))
    return cues


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
