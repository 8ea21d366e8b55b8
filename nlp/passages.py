"""From reports to sentences with bookmarks and mentions, as streams of records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nlp.bookmarks import BookmarkConfig, find_bookmarks, may_hold_bookmarks
from nlp.records import Bookmark, Passage, Report, Sentence
from nlp.text import split_sentences

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

_TECHNIQUE_SECTIONS: Final = frozenset({"technique", "tech", "protocol", "contrast", "procedure"})
_TECHNICAL = re.compile(
    r"\b(?:ml|doses?|kvp?|delay|slices?|reformat\w*|reconstruct\w*|thickness|collimation|helical"
    r"|phases?|mips?)\b",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[^\S ]")


def find_passages(
    reports: Iterable[Report], config: BookmarkConfig, counts: Counter[str]
) -> Iterator[Passage]:
    """Split reports into sentences and keep those with a bookmark of this study.

    Args:
        reports: The reports.
        config: What counts as a hyperlink.
        counts: Grows by `reports`, `sentences`, `bookmarks`, `priors`, and `lesion_mismatches`,
            the reports whose `lesion_ids` fit neither their hyperlinks nor their bookmarks.
    """
    for report in reports:
        sentences = list(split_sentences(report.text))
        counts["reports"] += 1
        counts["sentences"] += len(sentences)
        passages = _passages(report, sentences, config)
        bookmarks = [b for p in passages for b in p.bookmarks]
        lesion_ids = assign_lesions(bookmarks, report.lesion_ids)
        counts["lesion_mismatches"] += bool(report.lesion_ids) and not lesion_ids
        for passage in passages:
            counts["bookmarks"] += len(passage.current)
            counts["priors"] += len(passage.bookmarks) - len(passage.current)
            if passage.current:
                yield replace(passage, lesion_ids=lesion_ids)


def _passages(
    report: Report, sentences: Iterable[Sentence], config: BookmarkConfig
) -> list[Passage]:
    """The sentences with bookmarks, which are numbered through the report."""
    passages: list[Passage] = []
    if not may_hold_bookmarks(report.text, config):
        return passages
    numbered, section = 0, ""
    for sentence in sentences:
        technical = _is_technical(sentence, first=sentence.section != section)
        section = sentence.section
        if found := _bookmarks(sentence, config, numbered, technical=technical):
            numbered += len(found)
            passages.append(
                Passage(report=report, sentence=sentence, bookmarks=tuple(found), lesion_ids={})
            )
    return passages


def _is_technical(sentence: Sentence, *, first: bool) -> bool:
    """Whether a sentence says how images were made; a report may go on without a new heading."""
    return sentence.section.lower() in _TECHNIQUE_SECTIONS and (
        first or len(sentence.text.split()) <= 3 or bool(_TECHNICAL.search(sentence.text))
    )


def _bookmarks(
    sentence: Sentence, config: BookmarkConfig, numbered: int, *, technical: bool
) -> list[Bookmark]:
    """The bookmarks of a sentence, as places in its report; "3 mm" of the technique is none."""
    found = find_bookmarks(sentence.text, config)
    if technical:
        found = [b for b in found if b.kind == "hyperlink"]
    at = sentence.start
    return [
        replace(b, id=f"B{numbered + i}", start=at + b.start, end=at + b.end)
        for i, b in enumerate(found, start=1)
    ]


def assign_lesions(bookmarks: Sequence[Bookmark], lesion_ids: Sequence[str]) -> dict[str, str]:
    """Which bookmark is which lesion, both in text order.

    The ids belong to the hyperlinks if there are as many; else to the bookmarks of this study, or
    to all bookmarks, priors included. If no count fits, nobody knows, and none is assigned.
    """
    links = [b for b in bookmarks if b.kind == "hyperlink"]
    current = [b for b in bookmarks if b.kind != "prior"]
    for group in (links, current, bookmarks):
        if len(group) == len(lesion_ids):
            return {b.id: name for b, name in zip(group, lesion_ids, strict=True)}
    return {}


def match_labels(
    passages: Iterable[Passage], pipeline: Language, counts: Counter[str]
) -> Iterator[Passage]:
    """Add tokens and label mentions; `counts` grows by `mentions`."""
    from nlp.matching import mentions_of, tokens_of

    for doc, passage in pipeline.pipe(_docs(passages, pipeline), as_tuples=True):
        start = passage.sentence.start
        mentions = mentions_of(doc, start)
        counts["mentions"] += len(mentions)
        counts["pairs"] += len(mentions) * len(passage.current)
        yield replace(passage, tokens=tokens_of(doc, start), mentions=mentions)


def _docs(passages: Iterable[Passage], pipeline: Language) -> Iterator[tuple[Doc, Passage]]:
    """Each sentence as a doc that knows the abbreviations its report defines."""
    from nlp.abbreviations import find_abbreviations
    from nlp.components.label_matcher import ABBREVIATIONS

    report, abbreviations = None, {}
    for passage in passages:
        if passage.report is not report:
            report = passage.report
            abbreviations = find_abbreviations(report.text, pipeline)
        doc = pipeline.make_doc(_BLANKS.sub(" ", passage.sentence.text))
        doc.user_data[ABBREVIATIONS] = abbreviations
        yield doc, passage
