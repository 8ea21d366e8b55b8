"""Annotated sentences: the project's inline markup, and JSON Lines as in the interfaces.

See `corpus/README.md` for the markup. Either form becomes a `Passage` whose `relations` are the
annotation, with probabilities 1 and 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from nlp.bookmarks import find_bookmarks
from nlp.errors import InputError
from nlp.ontology import fold
from nlp.records import (
    RELATIONS,
    Bookmark,
    Mention,
    Passage,
    Relation,
    RelationName,
    Report,
    Sentence,
)

if TYPE_CHECKING:
    from spacy.language import Language

    from nlp.components.label_matcher import LabelMatcher

CORPUS_FOLDER: Final = Path(__file__).parent / "corpus"
_ITEM: Final = re.compile(
    r"\{(?:(?P<bookmark>\d+|p):(?P<marked>[^{}]+)"
    r"|(?P<mention>[^{}|=]+)(?:=(?P<term>[^{}|]+))?\|(?P<codes>[^{}]*))\}"
)


def read_corpora(paths: Iterable[Path], *, without: Collection[Path] = ()) -> list[Passage]:
    """Read annotated sentences from files and folders.

    Raises:
        InputError: If there is no corpus, or one can't be read.
    """
    from nlp.components import load_pipeline

    pipeline = load_pipeline()
    left_out = {file.resolve() for path in without for file in corpus_files([path])}
    files = [file for file in corpus_files(paths) if file.resolve() not in left_out]
    return [passage for file in files for passage in read_corpus(file, pipeline)]


def corpus_files(paths: Iterable[Path]) -> list[Path]:
    """The corpora among files and in folders, none twice.

    Raises:
        InputError: If there is none.
    """
    paths = list(paths)
    files = {
        file.resolve(): file
        for path in paths
        for file in (sorted(path.glob("*")) if path.is_dir() else [path])
        if file.suffix in (".txt", ".jsonl")
    }
    if not files:
        raise InputError(
            f"There is no corpus in {', '.join(map(str, paths))}: give .txt or .jsonl files, or "
            "folders of them."
        )
    return list(files.values())


def read_corpus(path: Path, pipeline: Language) -> Iterator[Passage]:
    """Read annotated sentences from a markup file (.txt) or a JSON Lines file.

    Args:
        path: The file.
        pipeline: The spaCy pipeline of the mining, for tokens, lemmas and the terms of mentions.

    Raises:
        InputError: Naming the file and line of the first fault.
    """
    parse = parse_markup if path.suffix == ".txt" else parse_record
    for number, line in corpus_lines(path):
        try:
            yield parse(line, pipeline)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}, line {number}: {error}.") from error


def corpus_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a corpus that hold a sentence, each with its number.

    Raises:
        InputError: If the file can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Can't read the corpus {path}: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def is_validation(path: Path) -> bool:
    """Whether a batch is for validation: its name begins so."""
    return path.name.startswith("validation")


def parse_markup(line: str, pipeline: Language) -> Passage:
    """Read one sentence of the inline markup.

    Raises:
        ValueError: If the markup is broken, or a code names no bookmark.
    """
    text, at = "", 0
    bookmarks: list[Bookmark] = []
    mentions: list[Mention] = []
    codes: list[dict[str, RelationName]] = []
    for item in _ITEM.finditer(line):
        text += line[at : item.start()]
        at = item.end()
        words = item["marked"] or item["mention"]
        start, end = len(text), len(text) + len(words)
        text += words
        if item["bookmark"]:
            bookmarks.append(_marked(item["bookmark"], words, start, len(bookmarks)))
        else:
            term = item["term"] or _term_of(words, pipeline)
            mentions.append(Mention(term=term, start=start, end=end))
            codes.append(_read_codes(item["codes"]))
    text += line[at:]
    if re.search(r"[{}|]", text):
        raise ValueError("broken markup: a brace or bar stands outside of an item")
    names = {b.id for b in bookmarks if b.kind != "prior"}
    if unknown := {name for code in codes for name in code} - names:
        raise ValueError(f"a mention names bookmark {sorted(unknown)[0][1:]}, which is not there")
    return _passage(text, bookmarks, mentions, codes, pipeline)


def plain_text(line: str) -> str:
    """A line of markup without its marks.

    Example:
        >>> plain_text("A {1:14 mm} {clot=thrombus|1?}.")
        'A 14 mm clot.'
    """
    return _ITEM.sub(lambda item: item["marked"] or item["mention"], line)


def parse_record(line: str, pipeline: Language) -> Passage:
    """Read one JSON object with `text`, `bookmarks`, `mentions` and `pairs`."""
    record = json.loads(line)
    bookmarks = [
        Bookmark(id=b["id"], start=b["start"], end=b["end"], kind=b["kind"])
        for b in record["bookmarks"]
    ]
    mentions = [Mention(term=m["term"], start=m["start"], end=m["end"]) for m in record["mentions"]]
    codes: list[dict[str, RelationName]] = [{} for _ in mentions]
    for pair in record["pairs"]:
        if pair["relation"] not in RELATIONS:
            raise ValueError(f"there is no relation '{pair['relation']}'")
        codes[pair["mention"]][pair["bookmark"]] = pair["relation"]
    return _passage(record["text"], bookmarks, mentions, codes, pipeline, record.get("id", ""))


def to_record(passage: Passage) -> dict[str, Any]:
    """A passage as an object of the interfaces: bookmarks, mentions, pairs."""
    text = passage.report.text
    return {
        "bookmarks": [
            {
                "id": b.id,
                "start": b.start,
                "end": b.end,
                "kind": b.kind,
                "text": text[b.start : b.end],
            }
            for b in passage.bookmarks
        ],
        "mentions": [{**asdict(m), "text": text[m.start : m.end]} for m in passage.mentions],
        "pairs": [
            {
                "bookmark": r.bookmark,
                "mention": r.mention,
                "relation": r.relation,
                "probabilities": dict(
                    zip(RELATIONS, (round(p, 4) for p in r.probabilities), strict=True)
                ),
            }
            for r in passage.relations
        ],
    }


def passage_of(
    text: str,
    bookmarks: Iterable[Bookmark],
    mentions: Iterable[Mention],
    pipeline: Language,
    report_id: str = "",
) -> Passage:
    """A sentence by itself as a passage, tokenized."""
    from nlp.matching import tokens_of

    return Passage(
        report=Report(report_id=report_id, patient_id="", text=text),
        sentence=Sentence(start=0, end=len(text), text=text),
        bookmarks=tuple(bookmarks),
        lesion_ids={},
        tokens=tokens_of(pipeline(text)),
        mentions=tuple(mentions),
    )


def _passage(
    text: str,
    bookmarks: list[Bookmark],
    mentions: list[Mention],
    codes: list[dict[str, RelationName]],
    pipeline: Language,
    report_id: str = "",
) -> Passage:
    passage = passage_of(text, bookmarks, mentions, pipeline, report_id)
    relations = tuple(
        _certain(bookmark.id, place, codes[place].get(bookmark.id, "irrelevant"))
        for bookmark in passage.current
        for place in range(len(mentions))
    )
    return replace(passage, relations=relations)


def _certain(bookmark: str, mention: int, relation: RelationName) -> Relation:
    first, second, third = (float(name == relation) for name in RELATIONS)
    return Relation(
        bookmark=bookmark,
        mention=mention,
        relation=relation,
        probabilities=(first, second, third),
    )


def _marked(name: str, words: str, start: int, before: int) -> Bookmark:
    found = find_bookmarks(words)
    bookmark = found[0] if found else Bookmark(id="", start=0, end=0, kind="measurement")
    prior = name == "p"
    return replace(
        bookmark,
        id=f"P{before}" if prior else f"B{name}",
        start=start,
        end=start + len(words),
        kind="prior" if prior else "measurement" if bookmark.kind == "prior" else bookmark.kind,
    )


def _term_of(words: str, pipeline: Language) -> str:
    """The term of a mention; words that the ontology lacks stand for themselves."""
    matcher = cast("LabelMatcher", pipeline.get_pipe("label_matcher"))
    return matcher.term_of(words) or fold(words)


def _read_codes(codes: str) -> dict[str, RelationName]:
    read: dict[str, RelationName] = {}
    if not codes.split():
        raise ValueError("a mention has no code; write - if it is irrelevant to every bookmark")
    for code in codes.split():
        if not re.fullmatch(r"-|\d+\??", code):
            raise ValueError(f"'{code}' is no code; write 1, 1? or -")
        name = f"B{code.rstrip('?')}"
        if name in read:
            raise ValueError(f"a mention names bookmark {name[1:]} twice; write one code for it")
        if code != "-":
            read[name] = "uncertain" if code.endswith("?") else "relevant"
    return read
