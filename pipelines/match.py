"""Label matching and relations on JSON Lines files, without mining a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nlp.bookmarks import find_bookmarks
from nlp.components import load_pipeline
from nlp.errors import InputError
from nlp.matching import match_texts, mentions_of
from nlp.ontology import Ontology
from nlp.records import Bookmark, Mention, Passage
from nlp.relations import classify_relations, load_model
from nlp.relations.corpus import passage_of, to_record
from nlp.store import replace_file
from nlp.text import LemmatizerName


def match_file(
    source: Path,
    target: Path,
    *,
    ontology: Path | None = None,
    lemmatizer: LemmatizerName = "auto",
) -> int:
    """Write the mentions and labels of each line's `text`; return the number of lines.

    Raises:
        InputError: If a line is no object with `id` and `text`; nothing is written then.
    """
    table = Ontology.from_csv(ontology)
    pipeline = load_pipeline(ontology=str(ontology) if ontology else None, lemmatizer=lemmatizer)
    records = [record for _, record in read_lines(source)]
    texts = (record["text"] for record in records)
    lines = []
    for record, (mentions, labels) in zip(
        records, match_texts(texts, pipeline, table), strict=True
    ):
        found = [{**asdict(m), "text": record["text"][m.start : m.end]} for m in mentions]
        lines.append(json.dumps({"id": record["id"], "mentions": found, "labels": labels}))
    replace_file(target, "".join(f"{line}\n" for line in lines))
    return len(lines)


def predict_file(
    source: Path, target: Path, *, relations: str = "cnn", precision: float | None = None
) -> int:
    """Write the relation of every bookmark and mention of each line; return the number of lines.

    Bookmarks and mentions that a line does not give are found. For `relations` and `precision` see
    `nlp.relations.load_model`.

    Raises:
        InputError: If a line has no `id` and `text`, or marks places outside of its text.
    """
    model = load_model(relations, precision=precision)
    records = list(read_lines(source))
    passages = (_passage(record, source, line) for line, record in records)
    lines = [
        json.dumps({**record, **_merge(record, to_record(passage))})
        for (_, record), passage in zip(records, classify_relations(passages, model), strict=True)
    ]
    replace_file(target, "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file, each with the number of its line.

    Raises:
        InputError: Naming the first line that is no object with `id` and a `text`.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not (isinstance(record, dict) and "id" in record):
                    raise InputError(f"{path}, line {number}: an object with 'id' is expected.")
                if not isinstance(record.get("text"), str):
                    raise InputError(f"{path}, line {number}: 'text' is missing or no text.")
                yield number, record
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Can't read {path}: {error}.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {number}: broken JSON.") from error


def _passage(record: dict[str, Any], path: Path, line: int) -> Passage:
    pipeline = load_pipeline()
    text = record["text"]
    try:
        bookmarks: Sequence[Bookmark] = (
            [Bookmark(id=b["id"], start=b["start"], end=b["end"], kind=b["kind"]) for b in given]
            if (given := record.get("bookmarks")) is not None
            else find_bookmarks(text)
        )
        mentions: Sequence[Mention] = (
            [Mention(term=m["term"], start=m["start"], end=m["end"]) for m in named]
            if (named := record.get("mentions")) is not None
            else mentions_of(pipeline(text))
        )
        spans = [(b.start, b.end) for b in bookmarks] + [(m.start, m.end) for m in mentions]
        if any(
            not (0 <= start < end <= len(text) and text[start:end].strip()) for start, end in spans
        ):
            raise ValueError("start and end mark no word of the text")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}, line {line}: bookmarks need id, start, end, kind, and mentions need term, "
            f"start, end ({error})."
        ) from error
    return passage_of(text, bookmarks, mentions, pipeline)


def _merge(record: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was found, beside the fields that the line gave itself."""
    return {
        key: record[key] if key != "pairs" and record.get(key) is not None else value
        for key, value in found.items()
    }
