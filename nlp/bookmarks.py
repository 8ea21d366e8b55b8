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

from nlp.errors import InputError
from nlp.records import Bookmark

HYPERLINK_PATTERNS: Final = (
    r"\b(?:BOOKMARK|OTHER_BMK)\b",
    r"\[\[[^\[\]]+\]\]",
    r"<a\b[^<>]*>[^<>]*</a>",
    r"\[[^\[\]]+\]\([^()\s]+\)",
)

# A size: lengths joined by "x" or "to", at least one of them with a unit.
_NUMBER = r"(?:\d{1,3}(?:[.,]\d{1,2})?|\.\d{1,2})"
_UNIT = r"(?:mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?)(?![\w²³^]|\s?/\s?\w)"
_PLANE = (
    r"(?:in\s+(?:the\s+)?)?(?:trans)?(?:axial|coronal|sagittal|cranio-?caudal|antero-?posterior"
    r"|transverse|longitudinal)(?:ly)?(?:\s+(?:plane|dimension|diameter|length))?"
    r"|superior\s+to\s+inferior|anterior\s+to\s+posterior|AP|TR|TV|CC|SI|ML|[WLH]"
)
_AXIS = rf"(?:\s*\((?:{_PLANE})\)|\s+(?:{_PLANE})(?=\s*(?:x|×|by)\b|\s*×))"
_LENGTH = rf"{_NUMBER}(?:\s?-?{_UNIT})?{_AXIS}?"
_JOIN = r"(?:\s*(?:x|×|\*|by)\s*|\s*(?:-|–|to)\s*)"
SIZE: Final = re.compile(
    rf"(?<![\w,/:#.])(?<!\d-){_LENGTH}(?:{_JOIN}{_LENGTH}){{0,3}}",
    re.IGNORECASE,
)
_HAS_UNIT = re.compile(_UNIT, re.IGNORECASE)
_MEASURED = re.compile(rf"({_NUMBER})(?:\s?-?({_UNIT}))?", re.IGNORECASE)

# A slice reference: image and series in either order, or (series:image) in brackets.
_INDEX = r"#?\s*\d{1,4}"
_INDICES = (
    rf"{_INDEX}(?!\s*-?[cm]m)(?:(?:\s*(?:,|and|&|-|–|to)\s*|\s+){_INDEX}(?![.\d]*\s*-?[cm]m))*"
)
_SERIES = rf"(?:series|serial|ser|se)\.?\s*(?:number|no\.?)?:?\s*(?P<series%s>{_INDEX})"
_IMAGES = (
    rf"(?:images?|img|ima|im|slices?|sl)\.?\s*(?:numbers?|no\.?)?:?\s*(?P<images%s>{_INDICES})"
)
_BETWEEN = r"\s*(?:[,;:/-]|of|on|in|and)?\s*(?:the\s+)?"
SLICE: Final = re.compile(
    rf"(?<![\w/])(?!IMG\d{{4}})(?:{_SERIES % 1}{_BETWEEN}{_IMAGES % 1}"
    rf"|ima?\s+(?P<series2>\d{{1,3}})-(?P<images2>\d{{1,4}})"
    rf"|(?:images?|img|ima?)\s+(?P<series7>\d{{1,3}})\s?[:/]\s?(?P<images7>\d{{1,4}})"
    rf"|{_IMAGES % 3}(?:{_BETWEEN}{_SERIES % 3})?"
    rf"|(?:series|ser|se)\s*/?\s*(?:image|im)?\s*(?P<series4>\d{{1,3}})\s*[:/]\s*(?P<images4>\d{{1,4}})"
    rf"|s(?P<series5>\d{{1,3}})\s*/?\s*i(?P<images5>\d{{1,4}})"
    rf"|(?<=[(\[])(?P<series6>\d{{1,3}})\s*:\s*(?P<images6>\d{{1,4}}(?:\s*[,&-]\s*\d{{1,4}})*)(?=[)\]])"
    rf"|(?<=[cm]m\s\()(?P<series8>\d{{1,3}})/(?P<images8>\d{{1,4}})(?=\)))"
    r"(?![\w:])",
    re.IGNORECASE,
)
_BRACKET_REST = re.compile(r"\s*[;,]?[^()\[\]\d]{0,40}(?:#\d+)?[)\]]")
_SIZE_TO_SLICE = re.compile(
    r"\s*-?\s*(?:,\s*)?(?:(?:on|in|at)\s+(?:the\s+)?)?[(\[]?\s*", re.IGNORECASE
)

# What makes a length something else than the size of a lesion.
_NO_SIZE_BEFORE = re.compile(
    r"(?:(?:slice|section)s?(?:\s+thickness(?:es)?)?\s*(?:of|is|are|was|were|at|:|=|,)?"
    r"|\b(?:collimation|increments?|intervals?|reconstructed|reformatted|spacing|thickness\s+images)"
    r"\s*(?:of|at|with|in|every|:)*|\bevery|\bfield\s+of\s+view\s*(?:of|:)?|\bfov\s*(?:of|:)?"
    r"|\bcontiguous|\bover\s+a\s+length\s+of"
    r"|\bMIPs?|\b(?:increas|decreas|gr[eo]w|enlarg|shr[aiu]nk|reduc|diminish|retract|advanc|displac"
    r"|elevat|depress|widen|narrow)\w*"
    r"(?:\s+in\s+(?:size|diameter))?\s+by(?:\s+(?:approximately|about|only|at\s+least|up\s+to))*"
    r"|\b(?:growth|shift|displacement|retraction|retropulsion|distance)\s+of(?:\s+(?:approximately|about))?)\s*$",
    re.IGNORECASE,
)
_NO_SIZE_AFTER = re.compile(
    r"[\s-]*(?:(?:thick\s+)?(?:(?:contiguous|axial|coronal|sagittal|helical|transverse|thin|slice)\s+)*"
    r"(?:slices?\b(?!\s*\d)|sections?|cuts?|images?\b(?!\s*[#\d])|intervals?|increments?|collimation"
    r"|reconstructions?|reformat\w*|slice\s+thickness|thickness\s+(?:slices?|images?)"
    r"|field\s+of\s+view|fov)\b"
    r"|(?:axial|coronal|sagittal)(?=\s*(?:,\s*|and\s+)(?:coronal|sagittal)|\s+(?:with|from)\b)"
    r"|(?:above|below|away|beyond|deep\s+to|lateral\s+to|medial\s+to|(?:anterior|posterior|superior"
    r"|inferior|cranial|caudal|cephalad|proximal|distal)(?:ly)?\s+(?:to|of)"
    r"(?!\s+(?:anterior|posterior|superior|inferior))"
    r"|from\s+(?!(?:the\s+)?(?:prior|previous)|\W*\d|approx|about))\b"
    r"|(?:midline\s+)?(?:shift|displacement|retraction)\b"
    r"|of\s+(?:water|h2o|(?:the\s+)?(?:small\s+|large\s+)?(?:bowel|colon)\b))",
    re.IGNORECASE,
)

# What makes a size or slice one of an earlier study.
_FILLER = (
    r"(?:(?:measur\w+|approximately|approx|about|around|up|to|only|as|at|a|an|it|was|were|is|size"
    r"|diameter|of|in|the|maximum|largest|max|also|being|had|been|currently|image|series)\W+)*"
)
_STUDY = (
    r"(?:CT|MRI?|PET|study|exam\w*|scan|imaging|measurements?|size|diameter|value|films?|one"
    r"|review|report)"
)
_PRIOR_BEFORE = re.compile(
    rf"\b(?:(?:previously|formerly|earlier|initially|prior(?:ly)?)\W{{1,3}}{_FILLER}"
    rf"|(?:prior|previous)\s+(?:{_STUDY}\W+)+(?:of|at|=|:|was|were|measured|measuring|showed)\W+{_FILLER}"
    rf"|(?:versus|vs\.?|compared\s+(?:to|with)|comparison\s+(?:to|with))\W+"
    rf"(?:(?:approximately|about|an?|the|prior|previous|earlier|of|up|to|{_STUDY})\W+)*"
    rf"|(?<!ranging\s)(?<!range\s)(?<!size\s)(?<!varying\s)from\s+"
    rf"(?:(?:approximately|about|a|the|prior|previous|of|{_STUDY})\W+)*"
    rf"|(?:prior|previous|old|earlier|last)\s+{_STUDY},?\s+(?:the|this|it|they|these|that)\s+(?:\w+\s+)?"
    rf"(?:was|were|is|are|measured|had)\W+{_FILLER}"
    rf"|\d+\s?[cm]m\b[^.;]{{0,70}}[(,;]\s*(?:which\s+)?was\W+{_FILLER})[(\[~<]*$",
    re.IGNORECASE,
)
_PAST = re.compile(rf"\b(?:was|were|measured)\W+{_FILLER}$", re.IGNORECASE)
_DATE = re.compile(
    r"\s+(?:on|in)\s+(?:XXXX|\d{1,2}[/.-]\d|(?:19|20)\d\d\b|(?:january|february|march|april|may"
    r"|june|july|august|september|october|november|december)\b)",
    re.IGNORECASE,
)
_PRIOR_AFTER = re.compile(
    rf"\W{{0,3}}(?:(?:in|on|at|the|of|a|as|by|size|diameter|length|width|long|short|axis|axial|greatest"
    rf"|dimensions?|maximal|maximum|seen|noted|measured|and)\W+)*"
    rf"(?:(?:previously|formerly|earlier|before)\b(?!\W+{_FILLER}\W*\d)"
    rf"|(?:prior|previous|last|comparison)\s+(?:\w+\s+){{0,2}}?(?:{_STUDY})\b(?!\W+{_FILLER}\W*\d)"
    rf"|(?:prior|previous)\W*$|(?:\d+\s+)?(?:days?|weeks?|months?|years?)\s+(?:ago|earlier|prior))",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\b(?:increas|decreas|gr[eo]w|enlarg|chang|shr[aiu]nk|diminish|reduc|progress)\w*\b.*\bfrom\s+$",
    re.IGNORECASE | re.DOTALL,
)
_FROM_TO = re.compile(r"\s*\bto\b\s*", re.IGNORECASE)
# A size that lends its unit: "8 and 9 mm", "17 x 11 (16 x 12 mm previously)".
_WITH_UNIT = rf"(?={_NUMBER}(?:{_JOIN}{_NUMBER})*\s?-?{_UNIT})"
_AND_SIZE = re.compile(rf"\s+and\s+{_WITH_UNIT}", re.IGNORECASE)
_BRACKET_SIZE = re.compile(rf"\s*\(\s*{_WITH_UNIT}", re.IGNORECASE)
# "20 x 15 mm in the axial plane and 30 mm in craniocaudal length" is one size.
_AXIAL = re.compile(r"\s+in\s+the\s+axial\s+plane\b[^.;]{0,60}", re.IGNORECASE)
_CRANIOCAUDAL = re.compile(r"[^.;,\d]{0,20}\bcranio-?caudal", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:\b(?:segments?|levels?|images?|series|ribs?|no\.?|and)|#)\W*$", re.I)
_EARLIER = re.compile(r"\b(?:previous|prior|former|earlier|initial)", re.IGNORECASE)
_COORDINATED = re.compile(r"(?:\s+(?:in|on)\s+\S+)?\s*(?:,|and|&|,\s*and)\s*$", re.IGNORECASE)

_DIGIT = re.compile(r"\d")  # most reports without a bookmark have none, and this is cheap to see
_MAYBE = re.compile(
    r"\d\s?-?(?:[mc]m|millim|centim)|\b(?:im|ima|img|images?|slices?|sl|se|ser|series)\b|[(\[]\d+\s*:"
    r"|\bs\d+\s*/?i\d|\b(?:im|se)\d",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BookmarkConfig:
    """What counts as a hyperlink: regular expressions, tried together."""

    hyperlinks: tuple[str, ...] = HYPERLINK_PATTERNS


def may_hold_bookmarks(text: str, config: BookmarkConfig | None = None) -> bool:
    """A cheap look: False means that `find_bookmarks` finds nothing."""
    numbered = _DIGIT.search(text) and _MAYBE.search(text)
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
    measured = _MEASURED.findall(text)
    unit = next((u for _, u in reversed(measured) if u), "mm")
    lengths = []
    for number, own in reversed(measured):
        unit = own or unit
        factor = 10.0 if unit.lower().startswith("c") else 1.0
        lengths.append(round(float(number.replace(",", ".")) * factor, 2))
    return tuple(reversed(lengths))


@lru_cache(maxsize=8)
def _compile_links(patterns: tuple[str, ...]) -> re.Pattern[str]:
    try:
        return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")
    except re.error as error:
        raise InputError(f"The hyperlink pattern is no regular expression: {error}.") from error


def _hyperlinks(config: BookmarkConfig | None) -> re.Pattern[str]:
    return _compile_links(config.hyperlinks if config else HYPERLINK_PATTERNS)


def _find_links(text: str, config: BookmarkConfig | None) -> Iterator[Bookmark]:
    for match in _hyperlinks(config).finditer(text):
        size = SIZE.search(match[0])
        yield Bookmark(
            id="",
            start=match.start(),
            end=match.end(),
            kind="hyperlink",
            sizes_mm=sizes_mm(size[0]) if size and _HAS_UNIT.search(size[0]) else (),
        )


def _find_sizes(text: str) -> list[Bookmark]:
    sizes: list[Bookmark] = []
    for match in SIZE.finditer(text):
        start, end = match.start(), match.start() + len(match[0].rstrip())
        if _is_lesion_size(text, start, end):
            sizes += _read_size(text, start, end)
    return _settle_coordinated(text, _join_planes(text, sizes))


def _is_lesion_size(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - 80) : start]
    has_unit = (
        _HAS_UNIT.search(text, start, end)
        or (_AND_SIZE.match(text, end) and not _NUMBERED.search(before))
        or (len(sizes_mm(text[start:end])) > 1 and _BRACKET_SIZE.match(text, end))
    )
    return bool(has_unit) and not (
        _NO_SIZE_BEFORE.search(before) or _NO_SIZE_AFTER.match(text, end)
    )


def _read_size(text: str, start: int, end: int) -> Iterator[Bookmark]:
    """One bookmark, or two for "increased from 1.9 to 2.3 cm"."""
    to = _FROM_TO.search(text, start, end)
    if to and _CHANGE.search(text[:start]):
        yield _size(text, start, to.start(), prior=True)
        yield _size(text, to.end(), end, prior=False)
    else:
        yield _size(text, start, end, prior=_is_prior(text, start, end))


def _is_prior(text: str, start: int, end: int) -> bool:
    """Whether the words around a size say that it was measured on an earlier study."""
    before = text[max(0, start - 80) : start]
    return bool(
        _PRIOR_BEFORE.search(before)
        or _PRIOR_AFTER.match(text, end)
        or (_PAST.search(before) and _DATE.match(text, end))
    )


def _join_planes(text: str, sizes: list[Bookmark]) -> list[Bookmark]:
    """Put an axial size and the craniocaudal length beside it together."""
    joined: list[Bookmark] = []
    for size in sizes:
        last = joined[-1] if joined else None
        if (
            last
            and last.kind == size.kind
            and (gap := _AXIAL.fullmatch(text, last.end, size.start))
            and (_CRANIOCAUDAL.search(gap[0]) or _CRANIOCAUDAL.match(text, size.end))
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
        if not _COORDINATED.fullmatch(text, first.end, second.start):
            continue
        if first.kind == "prior":
            settled[i] = replace(second, kind="prior")
        elif second.kind == "prior" and text[: first.start].endswith("("):
            settled[i - 1] = replace(first, kind="prior")
    return settled


def _size(text: str, start: int, end: int, *, prior: bool) -> Bookmark:
    lengths = sizes_mm(text[start:end])
    if not _HAS_UNIT.search(text, start, end):
        lengths = sizes_mm(text[start : end + 24])[: len(lengths)]
    return Bookmark(
        id="", start=start, end=end, kind="prior" if prior else "measurement", sizes_mm=lengths
    )


def _find_slices(text: str) -> Iterator[Bookmark]:
    for match in SLICE.finditer(text):
        parts = {k.rstrip("12345678"): v for k, v in match.groupdict().items() if v}
        start, end = match.span()
        if start and text[start - 1] in "([" and (rest := _BRACKET_REST.match(text, end)):
            start, end = start - 1, rest.end()
        prior = bool(_PRIOR_BEFORE.search(text[max(0, start - 80) : start]))
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
        if size.kind == "prior" and not _EARLIER.search(text, max(0, size.start - 40), size.start):
            yield size  # "2.4 cm from 2.7 cm (image 8)": the slice shows today's lesion
        elif place and _SIZE_TO_SLICE.fullmatch(text, size.end, place.start):
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
