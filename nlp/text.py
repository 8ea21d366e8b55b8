"""Sections, sentences, tokens and lemmas of a report, with offsets into its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Final, Literal

from nlp.errors import InputError
from nlp.records import Sentence

Span = tuple[int, int]
LemmatizerName = Literal["auto", "wordnet", "lemminflect", "none"]

# Headings that order a report; any other heading ("LUNGS:") belongs to the sentence after it.
REPORT_SECTIONS: Final = frozenset(
    """abdomen and pelvis|addendum|clinical data|clinical details|clinical history
    |clinical indication|clinical information|clinical question|comment|comparison|comparisons
    |comparison studies|comparison study|conclusion|conclusions|contrast|ct abdomen
    |ct abdomen and pelvis|ct chest|ct scan|ct thorax|dictated by|exam|examination|findings
    |findings and impression|history|impression|indication|indications|interpretation|opinion
    |procedure|protocol|reason for exam|reason for examination|recommendation|recommendations
    |report|result|results|summary|tech|technique""".replace("\n    ", "").split("|")
)

_WORD = r"[A-Za-z/&,()'-]"
_HEADING = re.compile(
    rf"(?:^|(?<=\n)|(?<=[.;] ))[ \t]*"
    rf"(?P<name>[A-Z]{_WORD}*(?:[ \t]+{_WORD}+){{0,5}})[ \t]*:(?=\s|$)"
)
_LIST_MARKER = re.compile(r"[ \t]*(?:\(?\d{1,2}[.)]|\(?[a-hA-H][.)]|[-*•·–>\"]+)[ \t]+(?=\S)")
_ABBREVIATIONS: Final = frozenset(
    """no nos dr drs mr mrs ms vs approx ca st fig figs im ima img se ser cf e.g i.e eg ie incl resp
    dept vol max min prof pt a.m p.m al etc seg""".split()
)
_BULLET: Final = r"(?<=\s)[\"•·](?=\s)"
_STOP = re.compile(rf"[.!?]+[)\]\"']*(?=\s|$|[A-Z][a-z])|;?[ \t]*\n|{_BULLET}")
_LAST_WORD = re.compile(r"[A-Za-z.]+$")
_NEXT_WORD = re.compile(r"\s*(\S+)")


def split_sentences(text: str) -> Iterator[Sentence]:
    r"""Split a report into sentences that carry the name of their section.

    A line break ends a sentence unless the line was only wrapped: its next word would not have
    fitted, or goes on in lower case. List items and headings begin a sentence. An organ's heading
    stays with its first sentence ("LUNGS: ..."); a section's heading does not ("FINDINGS: ...").

    Args:
        text: The report.

    Yields:
        Sentences in text order, stripped of white space and list markers, never empty.

    Example:
        >>> report = "FINDINGS:\n1. Node, 2.3 cm. in size.\n2. Cyst No. 4."
        >>> [s.text for s in split_sentences(report)]
        ['Node, 2.3 cm. in size.', 'Cyst No. 4.']
    """
    section, begin = "", 0
    for end in (*_boundaries(text), len(text)):
        if end <= begin:
            continue
        start = _skip_marker(text, begin, end)
        heading = _HEADING.match(text, start, end)
        if heading and heading["name"].lower().strip() in REPORT_SECTIONS:
            section = heading["name"].strip()
            start = heading.end()
        elif heading and not text[heading.end() : end].strip() and end < len(text):
            continue  # an organ's heading on its own line opens the next sentence
        stripped = text[start:end].strip()
        if stripped:
            start += len(text[start:end]) - len(text[start:end].lstrip())
            yield Sentence(start=start, end=start + len(stripped), text=stripped, section=section)
        begin = end


def _boundaries(text: str) -> Iterator[int]:
    """The places where a sentence ends."""
    width = max(map(len, text.split("\n")), default=0)
    for match in _STOP.finditer(text):
        if match[0] in '"•·':
            yield match.start()
            continue
        ends = _line_ends(text, match, width) if "\n" in match[0] else _stop_ends(text, match)
        if ends:
            yield match.end()


def _line_ends(text: str, match: re.Match[str], width: int) -> bool:
    """Whether a line break ends a sentence, or the line was only wrapped."""
    line_start = text.rfind("\n", 0, match.start()) + 1
    line = text[line_start : match.start()]
    line_end = text.find("\n", match.end())
    following = text[match.end() : line_end if line_end >= 0 else len(text)]
    if not line.strip() or not following.strip():
        return True
    if _LIST_MARKER.match(following) or _HEADING.match(following):
        return True
    word = following.split(None, 1)[0]
    if word[0].islower():
        return False
    wrapped = width <= 160 and len(line) + 1 + len(word) > width
    return not (wrapped or line.rstrip().endswith((",", "(")))


def _stop_ends(text: str, match: re.Match[str]) -> bool:
    """Whether a full stop ends a sentence, or belongs to an abbreviation, number or list marker."""
    if match[0][0] != ".":
        return True
    before, after = (
        text[max(0, match.start() - 12) : match.start()],
        text[match.end() : match.end() + 40],
    )
    word = _LAST_WORD.search(before)
    following = _NEXT_WORD.match(after)
    if following and following[1][0].islower() and "\n" not in after[: following.start(1)]:
        long_word = word is not None and len(word[0]) > 4 and word[0].lower() not in _ABBREVIATIONS
        sure = long_word or before.endswith(")") or following[1].rstrip(".,") in {"there", "the"}
        return sure and after[0].isspace()  # dictation may go on in lower case
    if word and (word[0].lower() in _ABBREVIATIONS or (len(word[0]) == 1 and word[0].isupper())):
        return "\n" in after[:1] and not (following and following[1][0].isdigit())
    line_start = text.rfind("\n", 0, match.start()) + 1
    return not re.fullmatch(r"\s*\(?(?:\d{1,2}|[a-hA-H])", text[line_start : match.start()])


def _skip_marker(text: str, begin: int, end: int) -> int:
    while begin < end and text[begin].isspace():
        begin += 1
    marker = _LIST_MARKER.match(text, begin, end)
    return marker.end() if marker else begin


@cache
def _word_tokenizer() -> Callable[[str], Iterator[Span]]:
    from nltk.tokenize import RegexpTokenizer  # importing NLTK takes a second

    # Numbers with their decimals, words without hyphens, every other sign by itself.
    return RegexpTokenizer(r"\d+(?:[.,]\d+)?|[^\W\d_]+(?:'s\b)?|[^\w\s]|_").span_tokenize  # type: ignore[no-any-return]


def tokenize(text: str) -> list[Span]:
    """The places of the words in a text, by NLTK's regular-expression tokenizer.

    Example:
        >>> [("2.3cm, low-density"[a:b]) for a, b in tokenize("2.3cm, low-density")]
        ['2.3', 'cm', ',', 'low', '-', 'density']
    """
    return list(_word_tokenizer()(text))


def make_lemmatizer(name: LemmatizerName = "auto") -> Callable[[str], str]:
    """A function from a word to its noun lemma in lower case.

    `wordnet` is NLTK's, as in the paper; it needs WordNet's data, which `lesionary setup` fetches.
    `lemminflect` brings its own. `auto` takes WordNet where its data is, else lemminflect.

    Raises:
        InputError: If WordNet is asked for and its data is missing.
    """
    return lru_cache(maxsize=100_000)(_LEMMATIZERS[resolve_lemmatizer(name)]())


def resolve_lemmatizer(name: LemmatizerName) -> LemmatizerName:
    """The lemmatizer that a name stands for here.

    Raises:
        InputError: If the name is unknown.
    """
    if name == "auto":
        return "wordnet" if has_wordnet() else "lemminflect"
    if name not in _LEMMATIZERS:
        known = ", ".join(("auto", *_LEMMATIZERS))
        raise InputError(f"There is no lemmatizer '{name}'. Choose one of: {known}.")
    return name


def has_wordnet() -> bool:
    """Whether NLTK finds WordNet's data."""
    import nltk

    try:
        nltk.data.find("corpora/wordnet")
    except LookupError:
        return False
    return True


def _wordnet() -> Callable[[str], str]:
    if not has_wordnet():
        raise InputError(
            "WordNet's data is not installed. Run 'lesionary setup' once, where a package index "
            "or the internet can be reached, or choose --lemmatizer lemminflect."
        )
    from nltk.stem import WordNetLemmatizer

    lemmatize = WordNetLemmatizer().lemmatize
    return lambda word: str(lemmatize(word.lower()))


def _lemminflect() -> Callable[[str], str]:
    from lemminflect import getLemma

    def lemma(word: str) -> str:
        word = word.lower()
        return str((getLemma(word, upos="NOUN") or (word,))[0])

    return lemma


def _lower() -> Callable[[str], str]:
    return str.lower


_LEMMATIZERS: Final[dict[str, Callable[[], Callable[[str], str]]]] = {
    "wordnet": _wordnet,
    "lemminflect": _lemminflect,
    "none": _lower,
}
