"""What the stages of the mining hand on to each other.

`start` and `end` are code points of the original report text, half-open, at every stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

BookmarkKind = Literal["hyperlink", "measurement", "slice", "prior"]
RelationName = Literal["relevant", "uncertain", "irrelevant"]

RELATIONS: Final[tuple[RelationName, ...]] = ("relevant", "uncertain", "irrelevant")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A radiology report.

    `lesion_ids` names the image lesion of each bookmark, in text order; `file` and `line` say
    where the report was read.
    """

    report_id: str
    patient_id: str
    text: str
    study_id: str = ""
    lesion_ids: tuple[str, ...] = ()
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """An input record that could not be used: where it stands and why. Never holds its text."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence of a report: where it stands, its words, and the section it belongs to."""

    start: int
    end: int
    text: str
    section: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A word, its lemma in lower case, and where it stands."""

    start: int
    end: int
    text: str
    lemma: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bookmark:
    """A mark that ties a sentence to a lesion in the image.

    `sizes_mm` are the lengths in mm as written, largest not necessarily first. `series` and
    `images` are the numbers of a slice reference. Kind `prior` is a size or slice of an earlier
    study: it is found so that it is not taken for a lesion of this one.
    """

    id: str
    start: int
    end: int
    kind: BookmarkKind
    sizes_mm: tuple[float, ...] = ()
    series: int | None = None
    images: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """Words that name a label, and the rule that found them."""

    term: str
    start: int
    end: int
    rule: str = "synonym"


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """What a sentence says of one (bookmark, mention) pair.

    `bookmark` is the bookmark's id, `mention` the mention's place in the sentence's list;
    `probabilities` follow the order of `RELATIONS` and sum to 1.
    """

    bookmark: str
    mention: int
    relation: RelationName
    probabilities: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A sentence with at least one bookmark, and what later stages found in it."""

    report: Report
    sentence: Sentence
    bookmarks: tuple[Bookmark, ...]
    lesion_ids: Mapping[str, str]
    tokens: tuple[Token, ...] = ()
    mentions: tuple[Mention, ...] = ()
    relations: tuple[Relation, ...] = ()

    @property
    def current(self) -> tuple[Bookmark, ...]:
        """The bookmarks of this study, which take relations: all but the priors."""
        return tuple(b for b in self.bookmarks if b.kind != "prior")
