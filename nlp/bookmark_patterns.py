"""The regular expressions by which `nlp.bookmarks` reads sizes and slice references."""

from __future__ import annotations

import re
from typing import Final

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
HAS_UNIT: Final = re.compile(_UNIT, re.IGNORECASE)
MEASURED: Final = re.compile(rf"({_NUMBER})(?:\s?-?({_UNIT}))?", re.IGNORECASE)

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
BRACKET_REST: Final = re.compile(r"\s*[;,]?[^()\[\]\d]{0,40}(?:#\d+)?[)\]]")
SIZE_TO_SLICE: Final = re.compile(
    r"\s*-?\s*(?:,\s*)?(?:(?:on|in|at)\s+(?:the\s+)?)?[(\[]?\s*", re.IGNORECASE
)

# What makes a length something else than the size of a lesion.
NO_SIZE_BEFORE: Final = re.compile(
    r"(?:(?:slice|section)s?(?:\s+thickness(?:es)?)?\s*(?:of|is|are|was|were|at|:|=|,)?"
    r"|\b(?:collimation|increments?|intervals?|reconstructed|reformatted|spacing|thickness\s+images)"
    r"\s*(?:of|at|with|in|every|:)*|\bevery|\bfield\s+of\s+view\s*(?:of|:)?|\bfov\s*(?:of|:)?"
    r"|\bcontiguous|\bover\s+a\s+length\s+of"
    r"|\bMIPs?|\b(?:increas|decreas|gr[eo]w|enlarg|shr[aiu]nk|reduc|diminish|retract|advanc)\w*"
    r"(?:\s+in\s+(?:size|diameter))?\s+by(?:\s+(?:approximately|about|only|at\s+least|up\s+to))*"
    r"|\b(?:growth|shift|displacement|retraction|retropulsion|distance)\s+of(?:\s+(?:approximately|about))?)\s*$",
    re.IGNORECASE,
)
NO_SIZE_AFTER: Final = re.compile(
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
PRIOR_BEFORE: Final = re.compile(
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
PAST: Final = re.compile(rf"\b(?:was|were|measured)\W+{_FILLER}$", re.IGNORECASE)
DATE: Final = re.compile(
    r"\s+(?:on|in)\s+(?:XXXX|\d{1,2}[/.-]\d|(?:19|20)\d\d\b|(?:january|february|march|april|may"
    r"|june|july|august|september|october|november|december)\b)",
    re.IGNORECASE,
)
PRIOR_AFTER: Final = re.compile(
    rf"\W{{0,3}}(?:(?:in|on|at|the|of|a|as|by|size|diameter|length|width|long|short|axis|axial|greatest"
    rf"|dimensions?|maximal|maximum|seen|noted|measured|and)\W+)*"
    rf"(?:(?:previously|formerly|earlier|before)\b(?!\W+{_FILLER}\W*\d)"
    rf"|(?:prior|previous|last|comparison)\s+(?:\w+\s+){{0,2}}?(?:{_STUDY})\b(?!\W+{_FILLER}\W*\d)"
    rf"|(?:prior|previous)\W*$|(?:\d+\s+)?(?:days?|weeks?|months?|years?)\s+(?:ago|earlier|prior))",
    re.IGNORECASE,
)
CHANGE: Final = re.compile(
    r"\b(?:increas|decreas|gr[eo]w|enlarg|chang|shr[aiu]nk|diminish|reduc|progress)\w*\b.*\bfrom\s+$",
    re.IGNORECASE | re.DOTALL,
)
FROM_TO: Final = re.compile(r"\s*\bto\b\s*", re.IGNORECASE)
# A size that lends its unit: "8 and 9 mm", "17 x 11 (16 x 12 mm previously)".
_WITH_UNIT = rf"(?={_NUMBER}(?:{_JOIN}{_NUMBER})*\s?-?{_UNIT})"
AND_SIZE: Final = re.compile(rf"\s+and\s+{_WITH_UNIT}", re.IGNORECASE)
BRACKET_SIZE: Final = re.compile(rf"\s*\(\s*{_WITH_UNIT}", re.IGNORECASE)
# "20 x 15 mm in the axial plane and 30 mm in craniocaudal length" is one size.
AXIAL: Final = re.compile(r"\s+in\s+the\s+axial\s+plane\b[^.;]{0,60}", re.IGNORECASE)
CRANIOCAUDAL: Final = re.compile(r"[^.;,\d]{0,20}\bcranio-?caudal", re.IGNORECASE)
NUMBERED: Final = re.compile(
    r"(?:\b(?:segments?|levels?|images?|series|ribs?|no\.?|and)|#)\W*$", re.I
)
EARLIER: Final = re.compile(r"\b(?:previous|prior|former|earlier|initial)", re.IGNORECASE)
COORDINATED: Final = re.compile(r"(?:\s+(?:in|on)\s+\S+)?\s*(?:,|and|&|,\s*and)\s*$", re.IGNORECASE)

DIGIT: Final = re.compile(
    r"\d"
)  # most reports without a bookmark have none, and this is cheap to see
MAYBE: Final = re.compile(
    r"\d\s?-?(?:[mc]m|millim|centim)|\b(?:im|ima|img|images?|slices?|sl|se|ser|series)\b|[(\[]\d+\s*:"
    r"|\bs\d+\s*/?i\d|\b(?:im|se)\d",
    re.IGNORECASE,
)
