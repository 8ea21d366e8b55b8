"""Which sentences stand too near to a sentence of another text: copies and paraphrases.

Reports repeat stock phrases, so that shared words alone say little. What is compared are runs of
`RUN` words in which every label word is replaced by its class, every bookmark and number by its
kind: a copy with another organ or size keeps its runs. A run tells of a copy if it is **rare**: it
has a word that is neither replaced nor a stop word, and stands in at most `RARE` different
sentences of the other text and of all batches but the sentence's own (a batch that copies one
sentence four times must not make its runs look common).

Two sentences are **too near** if they are the same up to case, numbers and white space, or if they
share at least `RARE_RUNS` rare runs with `RARE_WORDS` different such words, and their similarity
is at least `SIMILARITY`: the weight of the shared runs over that of all runs of the sentence with
less, a run that stands in df of n sentences weighing log(1 + n / df).

The thresholds were chosen on copies of real sentences with words replaced, left out, or put to
another beginning: most with a tenth of their words changed are found, many with a fifth. What
escapes is short and stock; what is reported may be a common opening. So look at each.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spacy.lang.en.stop_words import STOP_WORDS

from nlp.bookmarks import find_bookmarks
from nlp.errors import InputError
from nlp.records import Token
from nlp.relations.corpus import corpus_lines, plain_text
from nlp.relations.corpus_checks import repeat_key
from nlp.relations.corpus_terms import CorpusTerms
from nlp.text import split_sentences

if TYPE_CHECKING:
    from spacy.language import Language

RUN: Final = 4
RARE: Final = 3
RARE_RUNS: Final = 3
RARE_WORDS: Final = 2
SIMILARITY: Final = 0.2

Run = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Masked:
    """A sentence as it is compared: its key, its runs of masked words, and where it stands."""

    file: str
    line: int
    key: str
    runs: frozenset[Run]


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """Two sentences that share rare runs; nothing of their text."""

    file: str
    line: int
    other_file: str
    other_line: int
    similarity: float
    rare_runs: int
    too_near: bool


def mask(file: str, line: int, text: str, tokens: Iterable[Token], terms: CorpusTerms) -> Masked:
    """A sentence as it is compared with others."""
    words = mask_words(text, list(tokens), terms)
    runs = frozenset(tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1))
    return Masked(file=file, line=line, key=repeat_key(text), runs=runs)


def mask_words(text: str, tokens: Sequence[Token], terms: CorpusTerms) -> list[str]:
    """The lemmas of a sentence; label words, bookmarks and numbers as their kind."""
    spans = [(b.start, b.end, "<bookmark>") for b in find_bookmarks(text)]
    spans += [(start, end, f"<{terms.kinds[term]}>") for start, end, term in terms.find_all(tokens)]
    spans.sort()
    words: list[str] = []
    reached = 0
    for token in tokens:
        if token.start < reached:
            continue
        span = next((s for s in spans if s[0] <= token.start < s[1]), None)
        if span:
            reached = span[1]
            words.append(span[2])
        elif token.text[0].isdigit():
            words.append("<number>")
        elif token.text[0].isalpha():
            words.append(token.lemma)
    return words


def read_other(path: Path, pipeline: Language, terms: CorpusTerms) -> Iterator[Masked]:
    """The sentences of another text: JSON Lines with `text`, markup, or plain text.

    Raises:
        InputError: If the file can't be read, or a JSON line has no text.
    """
    from nlp.matching import tokens_of

    read = _read_json if path.suffix == ".jsonl" else _read_text
    for line, text in read(path):
        yield mask(str(path), line, text, tokens_of(pipeline(text)), terms)


def _read_json(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in corpus_lines(path):
        try:
            text = json.loads(line)["text"]
            sentences = [s.text for s in split_sentences(text)]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f'{path}, line {number}: no JSON object with "text"; to compare, give one a line.'
            ) from error
        for sentence in sentences:
            yield number, sentence


def _read_text(path: Path) -> Iterator[tuple[int, str]]:
    lines = dict(corpus_lines(path))
    plain = {number: plain_text(line) for number, line in lines.items()}
    if plain != lines:  # markup: a sentence a line
        yield from plain.items()
        return
    text = path.read_text(encoding="utf-8")
    for sentence in split_sentences(text):
        yield 1 + text.count("\n", 0, sentence.start), sentence.text


def find_near(
    sentences: Sequence[Masked], others: Sequence[Masked], background: Sequence[Masked]
) -> list[Near]:
    """The pairs of a sentence and another that share rare runs, the nearest first.

    Args:
        sentences: Those to check.
        others: What they must not be near to.
        background: The batches that tell which runs are common; `sentences` are counted too.
    """
    batches = _count_runs(sentences, others, background)
    everywhere: Counter[Run] = Counter()
    for counts in batches.values():
        everywhere.update(counts)
    total = len({s.runs for text in (sentences, others, background) for s in text})
    weights = {run: log(1 + total / n) for run, n in everywhere.items()}
    by_run: dict[Run, list[int]] = defaultdict(list)
    by_key: dict[str, list[int]] = defaultdict(list)
    for place, other in enumerate(others):
        by_key[other.key].append(place)
        for run in other.runs:
            by_run[run].append(place)
    found: list[Near] = []
    for sentence in sentences:
        own = batches[sentence.file]
        rare = {run for run in sentence.runs if run in by_run and _is_rare(run, everywhere, own)}
        places = Counter(place for run in rare for place in by_run[run])
        places.update(dict.fromkeys(by_key.get(sentence.key, ()), 0))
        for place in places:
            if others[place].file != sentence.file:
                found.append(_compare(sentence, others[place], rare, weights))
    return sorted(
        found, key=lambda n: (not n.too_near, -n.similarity * min(n.rare_runs, RARE_RUNS))
    )


def _compare(a: Masked, b: Masked, rare: set[Run], weights: Mapping[Run, float]) -> Near:
    shared = a.runs & b.runs
    least = min(sum(map(weights.__getitem__, x.runs)) for x in (a, b))
    same = a.key == b.key
    similarity = 1.0 if same else sum(map(weights.__getitem__, shared)) / least
    runs = len(shared & rare)
    words = {word for run in shared & rare for word in run if is_content(word)}
    return Near(
        file=a.file,
        line=a.line,
        other_file=b.file,
        other_line=b.line,
        similarity=round(similarity, 3),
        rare_runs=runs,
        too_near=same
        or (runs >= RARE_RUNS and len(words) >= RARE_WORDS and similarity >= SIMILARITY),
    )


def _is_rare(run: Run, everywhere: Counter[Run], own: Counter[Run]) -> bool:
    return any(map(is_content, run)) and everywhere[run] - own[run] <= RARE


def is_content(word: str) -> bool:
    """Whether a word says something by itself: no kind that stands for another, no stop word."""
    return not word.startswith("<") and word not in STOP_WORDS


def _count_runs(*texts: Iterable[Masked]) -> dict[str, Counter[Run]]:
    """In how many different sentences of each file each run stands."""
    by_file: dict[str, set[frozenset[Run]]] = defaultdict(set)
    for text in texts:
        for sentence in text:
            by_file[sentence.file].add(sentence.runs)
    return {file: Counter(r for runs in s for r in runs) for file, s in by_file.items()}
