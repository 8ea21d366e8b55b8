"""What is wrong with annotated sentences, line by line, and figures on them.

A fault is what would teach a model something wrong or count a pair twice; it names its line and
what to do. Term words that nobody marked are no fault: they are often right (an adverb "back", the
neck of a gallbladder), so they are only listed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from nlp.ontology import Ontology
from nlp.records import RELATIONS, BookmarkKind, Passage
from nlp.relations.corpus import corpus_lines, is_validation, parse_markup, parse_record
from nlp.relations.corpus_terms import CorpusTerms

if TYPE_CHECKING:
    from spacy.language import Language

FEW: Final = 10
_KINDS: Final = get_args(BookmarkKind)
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_FIELDS: Final = {
    "bookmarks": {"id": str, "start": int, "end": int, "kind": str},
    "mentions": {"term": str, "start": int, "end": int},
    "pairs": {"bookmark": str, "mention": int, "relation": str},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong in a line, and what to do."""

    file: str
    line: int
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmarked:
    """Words of a term that no mention or bookmark covers."""

    file: str
    line: int
    words: str
    term: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotated:
    """An annotated sentence and where it stands."""

    file: Path
    line: int
    passage: Passage


def read_annotated(
    path: Path, pipeline: Language, terms: CorpusTerms
) -> tuple[list[Annotated], list[Fault]]:
    """The sentences of a corpus that can be read, and the faults of each line by itself.

    Raises:
        InputError: If the file can't be read.
    """
    sentences: list[Annotated] = []
    faults: list[Fault] = []
    markup = path.suffix == ".txt"
    parse = parse_markup if markup else parse_record
    for number, line in corpus_lines(path):
        problems = [] if markup else list(record_problems(line))
        if not problems:
            try:
                passage = parse(line, pipeline)
            except ValueError as error:
                problems = [str(error)]
            else:
                problems = list(passage_problems(passage, terms))
                sentences.append(Annotated(file=path, line=number, passage=passage))
        faults += [Fault(file=str(path), line=number, problem=p) for p in problems]
    return sentences, faults


def record_problems(line: str) -> Iterator[str]:
    """What is wrong with a JSON line: its shape, and pairs missing, twice or of nothing."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        yield f"broken JSON ({error.msg}, column {error.colno}); write one object a line"
        return
    shape = list(_shape_problems(record))
    yield from shape or _pair_problems(record)


def _shape_problems(record: Any) -> Iterator[str]:
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        yield 'no sentence; write an object with "text", "bookmarks", "mentions" and "pairs"'
        return
    for name in _FIELDS:
        items = record.get(name)
        if not isinstance(items, list):
            yield f'"{name}" is no list; write [] where there is none'
            continue
        for place, item in enumerate(items):
            for problem in _item_problems(name, item, record["text"]):
                yield f"{name}[{place}] {problem}"


def _item_problems(name: str, item: Any, text: str) -> Iterator[str]:
    fields = _FIELDS[name]
    lacking = [
        key
        for key, kind in fields.items()
        if not isinstance(item, dict) or type(item.get(key)) is not kind
    ]
    if lacking:
        yield "needs " + " and ".join(f'"{key}" ({fields[key].__name__})' for key in lacking)
        return
    if name == "bookmarks" and item["kind"] not in _KINDS:
        yield f"has kind '{item['kind']}', not {', '.join(_KINDS)}"
    if "start" in item and item.get("text") not in (None, text[item["start"] : item["end"]]):
        yield f"has other words than stand at [{item['start']}, {item['end']}); count code points"


def _pair_problems(record: dict[str, Any]) -> Iterator[str]:
    current = {b["id"] for b in record["bookmarks"] if b["kind"] != "prior"}
    prior = {b["id"] for b in record["bookmarks"]} - current
    places = range(len(record["mentions"]))
    seen: Counter[tuple[str, int]] = Counter()
    for place, pair in enumerate(record["pairs"]):
        bookmark, mention, relation = pair["bookmark"], pair["mention"], pair["relation"]
        if bookmark in prior:
            yield f"pairs[{place}] is of {bookmark}, which is prior and takes none; remove it"
        elif bookmark not in current:
            yield f"pairs[{place}] names bookmark '{bookmark}', which is not there; correct it"
        elif mention not in places:
            yield f"pairs[{place}] names mention {mention}; there are {len(places)}, from 0"
        if relation not in RELATIONS:
            yield f"pairs[{place}] has relation '{relation}', not {', '.join(RELATIONS)}"
        seen[bookmark, mention] += 1
    for (bookmark, mention), count in seen.items():
        if count > 1:
            yield f"the pair of {bookmark} and mention {mention} is there {count} times; keep one"
    for bookmark in sorted(current):
        if missing := [str(m) for m in places if (bookmark, m) not in seen]:
            yield f"{bookmark} has no pair with mention {', '.join(missing)}; add it"


def passage_problems(passage: Passage, terms: CorpusTerms) -> Iterator[str]:
    """What is wrong with a sentence: ids, offsets, overlaps, terms."""
    text = passage.report.text
    counts = Counter(b.id for b in passage.bookmarks)
    for name in (name for name, count in counts.items() if count > 1):
        yield f"bookmark {name} is there {counts[name]} times; give each its own number"
    if not passage.current:
        yield "no bookmark of this study, so there is no pair; mark one or remove the line"
    spans = [(b.start, b.end, f"bookmark {b.id}") for b in passage.bookmarks]
    spans += [(m.start, m.end, f"mention {i}") for i, m in enumerate(passage.mentions)]
    for start, end, what in spans:
        if not 0 <= start < end <= len(text):
            yield f"{what} at [{start}, {end}) is empty or outside of the {len(text)} characters"
        elif text[start:end] != text[start:end].strip():
            yield f"{what} at [{start}, {end}) begins or ends with a blank; move it out"
    for (_, end, what), (start, _, other) in pairwise(sorted(spans)):
        if start < end:
            yield f"{what} and {other} overlap; keep the longer one"
    for mention in passage.mentions:
        if problem := _term_problem(mention.term, text[mention.start : mention.end], terms):
            yield problem


def _term_problem(term: str, words: str, terms: CorpusTerms) -> str | None:
    """A mention's term has to be a term's name, or its words such as the reader can look up.

    A derivation of a word that is no label needs no term, since all of those read the same; one of
    a label does, or the sentence would not teach it as what it is.
    """
    if terms.is_name(term) or terms.find(words):
        return None
    derived = terms.find_derived(words)
    if derived and derived not in terms.lexicon.ontology:
        return None
    name = terms.find(term) or derived
    if name:
        return f"'{words}' is no listed synonym; write {{{words}={name}|..}} if it means {name}"
    return f"'{words}' is no term; unmark it, mark fewer words or write {{{words}=term|..}}"


def repeat_faults(sentences: Iterable[Annotated]) -> Iterator[Fault]:
    """Sentences that are there twice, up to case, numbers and white space."""
    seen: dict[str, Annotated] = {}
    for sentence in sentences:
        first = seen.setdefault(repeat_key(sentence.passage.report.text), sentence)
        if first is sentence:
            continue
        where = f"{first.file.name}, line {first.line}"
        if is_validation(first.file) != is_validation(sentence.file):
            problem = f"training and validation share this sentence ({where}); drop the former's"
        else:
            problem = f"the sentence of {where} again; drop one"
        yield Fault(file=str(sentence.file), line=sentence.line, problem=problem)


def repeat_key(text: str) -> str:
    """A sentence without case, numbers and superfluous white space.

    Example:
        >>> repeat_key("A 2.5 cm  Cyst.") == repeat_key("a 14 cm cyst.")
        True
    """
    return " ".join(_NUMBER.sub("#", text).casefold().split())


def find_unmarked(sentence: Annotated, terms: CorpusTerms) -> Iterator[Unmarked]:
    """Words of a term that no mention or bookmark covers."""
    passage = sentence.passage
    covered = [(b.start, b.end) for b in passage.bookmarks]
    covered += [(m.start, m.end) for m in passage.mentions]
    for start, end, term in terms.find_all(passage.tokens):
        if not any(start < b and a < end for a, b in covered):
            words = passage.report.text[start:end]
            yield Unmarked(file=str(sentence.file), line=sentence.line, words=words, term=term)


def count_corpus(sentences: Sequence[Annotated], ontology: Ontology) -> dict[str, Any]:
    """Figures of a corpus; labels are counted in the training batches, if there are any.

    A mention of a finer phrase counts for the labels that it states.
    """
    passages = [s.passage for s in sentences]
    relations = Counter(r.relation for p in passages for r in p.relations)
    training = [s.passage for s in sentences if not is_validation(s.file)] or passages
    labels = Counter(
        label
        for p in training
        for m in p.mentions
        if m.term in ontology
        for label in ontology.stated_labels(m.term)
    )
    pairs, many = relations.total(), sum(len(p.current) > 1 for p in passages)
    return {
        "sentences": len(passages),
        "words": sum(len(p.report.text.split()) for p in passages),
        "bookmarks": sum(len(p.current) for p in passages),
        "mentions": sum(len(p.mentions) for p in passages),
        "pairs": pairs,
        "shares": {name: relations[name] / (pairs or 1) for name in RELATIONS},
        "share_with_several_bookmarks": many / (len(passages) or 1),
        "labels_never": [name for name in ontology.labels if not labels[name]],
        "labels_few": {name: labels[name] for name in ontology.labels if 0 < labels[name] < FEW},
    }
