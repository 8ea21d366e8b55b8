"""Find the marks that tie a sentence to a lesion: hyperlinks, sizes, slice references.

Sizes are normalised to mm. A size or slice of an earlier study is kind `prior`. Lengths that are
no size of a lesion (distances to a landmark, slice thickness, fields of view) are left out; HU, SUV
and volumes never match, since they carry no unit of length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from nlp import bookmark_patterns as patterns
from nlp.errors import InputError
from nlp.records import Bookmark

HYPERLINK_PATTERNS: Final = (
    r"\b(?:BOOKMARK|OTHER_BMK)\b",
    r"\[\[[^\[\]]+\]\]",
    r"<a\b[^<>]*>[^<>]*</a>",
    r"\[[^\[\]]+\]\([^()\s]+\)",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BookmarkConfig:
    """What counts as a hyperlink: regular expressions, tried together."""

    hyperlinks: tuple[str, ...] = HYPERLINK_PATTERNS


def may_hold_bookmarks(text: str, config: BookmarkConfig | None = None) -> bool:
    """A cheap look: False means that `find_bookmarks` finds nothing."""
    numbered = patterns.DIGIT.search(text) and patterns.MAYBE.search(text)
    return bool(numbered or _hyperlinks(config).search(text))


def find_bookmarks(text: str, config: BookmarkConfig | None = None) -> list[Bookmark]:
    """Find the bookmarks of one sentence, in text order, named B1, B2, ...

    Args:
        text: A sentence.
        config: Which hyperlinks to look for.

    Returns:
        Bookmarks with offsets into `text`, never overlapping.

    Raises:
        InputError: If a hyperlink pattern is no regular expression.

    Example:
        >>> [(b.kind, b.sizes_mm) for b in find_bookmarks("A 2.3 x 2.1 cm node, previously 9mm.")]
        [('measurement', (23.0, 21.0)), ('prior', (9.0,))]
    """
    links = list(_find_links(text, config))
    sizes = _find_sizes(text)
    slices = list(_find_slices(text))
    found = _drop_overlaps(links, _join_size_and_slice(text, sizes, slices))
    return [replace(b, id=f"B{i}") for i, b in enumerate(found, start=1)]


def sizes_mm(text: str) -> tuple[float, ...]:
    """The lengths in a text in mm; a number without a unit takes the next one's.

    Example:
        >>> sizes_mm("1.2 by 0.8 cm")
        (12.0, 8.0)
    """
    measured = patterns.MEASURED.findall(text)
    unit = next((u for _, u in reversed(measured) if u), "mm")
    lengths = []
    for number, own in reversed(measured):
        unit = own or unit
        factor = 10.0 if unit.lower().startswith("c") else 1.0
        lengths.append(round(float(number.replace(",", ".")) * factor, 2))
    return tuple(reversed(lengths))


@lru_cache(maxsize=8)
def _compile_links(hyperlinks: tuple[str, ...]) -> re.Pattern[str]:
    try:
        return re.compile("|".join(f"(?:{pattern})" for pattern in hyperlinks) or r"(?!)")
    except re.error as error:
        raise InputError(f"The hyperlink pattern is no regular expression: {error}.") from error


def _hyperlinks(config: BookmarkConfig | None) -> re.Pattern[str]:
    return _compile_links(config.hyperlinks if config else HYPERLINK_PATTERNS)


def _find_links(text: str, config: BookmarkConfig | None) -> Iterator[Bookmark]:
    for match in _hyperlinks(config).finditer(text):
        size = patterns.SIZE.search(match[0])
        yield Bookmark(
            id="",
            start=match.start(),
            end=match.end(),
            kind="hyperlink",
            sizes_mm=sizes_mm(size[0]) if size and patterns.HAS_UNIT.search(size[0]) else (),
        )


def _find_sizes(text: str) -> list[Bookmark]:
    sizes: list[Bookmark] = []
    for match in patterns.SIZE.finditer(text):
        start, end = match.start(), match.start() + len(match[0].rstrip())
        if _is_lesion_size(text, start, end):
            sizes += _read_size(text, start, end)
    return _settle_coordinated(text, _join_planes(text, sizes))


def _is_lesion_size(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - 80) : start]
    has_unit = (
        patterns.HAS_UNIT.search(text, start, end)
        or (patterns.AND_SIZE.match(text, end) and not patterns.NUMBERED.search(before))
        or (len(sizes_mm(text[start:end])) > 1 and patterns.BRACKET_SIZE.match(text, end))
    )
    return bool(has_unit) and not (
        patterns.NO_SIZE_BEFORE.search(before) or patterns.NO_SIZE_AFTER.match(text, end)
    )


def _read_size(text: str, start: int, end: int) -> Iterator[Bookmark]:
    """One bookmark, or two for "increased from 1.9 to 2.3 cm"."""
    to = patterns.FROM_TO.search(text, start, end)
    if to and patterns.CHANGE.search(text[:start]):
        yield _size(text, start, to.start(), prior=True)
        yield _size(text, to.end(), end, prior=False)
    else:
        yield _size(text, start, end, prior=_is_prior(text, start, end))


def _is_prior(text: str, start: int, end: int) -> bool:
    """Whether the words around a size say that it was measured on an earlier study."""
    before = text[max(0, start - 80) : start]
    return bool(
        patterns.PRIOR_BEFORE.search(before)
        or patterns.PRIOR_AFTER.match(text, end)
        or (patterns.PAST.search(before) and patterns.DATE.match(text, end))
    )


def _join_planes(text: str, sizes: list[Bookmark]) -> list[Bookmark]:
    """Put an axial size and the craniocaudal length beside it together."""
    joined: list[Bookmark] = []
    for size in sizes:
        last = joined[-1] if joined else None
        if (
            last
            and last.kind == size.kind
            and (gap := patterns.AXIAL.fullmatch(text, last.end, size.start))
            and (
                patterns.CRANIOCAUDAL.search(gap[0]) or patterns.CRANIOCAUDAL.match(text, size.end)
            )
        ):
            lengths = last.sizes_mm + size.sizes_mm
            joined[-1] = replace(last, end=size.end, sizes_mm=lengths)
        else:
            joined.append(size)
    return joined


def _settle_coordinated(text: str, sizes: list[Bookmark]) -> list[Bookmark]:
    """Make "previously 2 cm and 1 cm" and "(2 cm and 1 cm previously)" both prior."""
    settled = list(sizes)
    for i in range(1, len(sizes)):
        first, second = settled[i - 1], settled[i]
        if not patterns.COORDINATED.fullmatch(text, first.end, second.start):
            continue
        if first.kind == "prior":
            settled[i] = replace(second, kind="prior")
        elif second.kind == "prior" and text[: first.start].endswith("("):
            settled[i - 1] = replace(first, kind="prior")
    return settled


def _size(text: str, start: int, end: int, *, prior: bool) -> Bookmark:
    lengths = sizes_mm(text[start:end])
    if not patterns.HAS_UNIT.search(text, start, end):
        lengths = sizes_mm(text[start : end + 24])[: len(lengths)]
    return Bookmark(
        id="", start=start, end=end, kind="prior" if prior else "measurement", sizes_mm=lengths
    )


def _find_slices(text: str) -> Iterator[Bookmark]:
    for match in patterns.SLICE.finditer(text):
        parts = {k.rstrip("12345678"): v for k, v in match.groupdict().items() if v}
        start, end = match.span()
        if start and text[start - 1] in "([" and (rest := patterns.BRACKET_REST.match(text, end)):
            start, end = start - 1, rest.end()
        prior = bool(patterns.PRIOR_BEFORE.search(text[max(0, start - 80) : start]))
        yield Bookmark(
            id="",
            start=start,
            end=end,
            kind="prior" if prior else "slice",
            series=int(re.sub(r"\D", "", parts["series"])) if "series" in parts else None,
            images=tuple(int(n) for n in re.findall(r"\d+", parts["images"])),
        )


def _join_size_and_slice(
    text: str, sizes: list[Bookmark], slices: list[Bookmark]
) -> Iterator[Bookmark]:
    """A size followed at once by its slice reference is one bookmark."""
    rest = list(slices)
    for size in sizes:
        place = next((s for s in rest if s.start >= size.end), None)
        if size.kind == "prior" and not patterns.EARLIER.search(
            text, max(0, size.start - 40), size.start
        ):
            yield size  # "2.4 cm from 2.7 cm (image 8)": the slice shows today's lesion
        elif place and patterns.SIZE_TO_SLICE.fullmatch(text, size.end, place.start):
            rest.remove(place)
            end = place.end
            if "(" in text[size.end : place.start] and text[end : end + 1] == ")":
                end += 1
            yield replace(size, end=end, series=place.series, images=place.images)
        else:
            yield size
    yield from rest


def _drop_overlaps(*groups: Iterable[Bookmark]) -> list[Bookmark]:
    """Bookmarks in text order; of two that overlap, the one of the earlier group stays."""
    kept: list[Bookmark] = []
    for group in groups:
        kept += [b for b in group if not any(b.start < k.end and k.start < b.end for k in kept)]
    return sorted(kept, key=lambda b: b.start)
