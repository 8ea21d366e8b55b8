"""One self-contained HTML page on an evaluation: scores, groups, confusion, the worst errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from nlp.errors import InputError
from nlp.records import RELATIONS, Passage
from nlp.store import replace_file
from pipelines.decisions import Decided
from pipelines.rendering import render

MAX_ERRORS: Final = 200


class Error(NamedTuple):
    """A pair decided wrongly: the sentence in pieces, each with its style, and the decision."""

    sentence: str
    pieces: list[tuple[str, str]]
    term: str
    gold: str
    predicted: str
    p: float
    p_gold: float


def write_error_page(path: Path, result: Mapping[str, Any], decided: Sequence[Decided]) -> None:
    """Write the page of `evaluate_relations`; it quotes sentences and needs no network.

    Args:
        path: The file, replaced if it is there.
        result: What `evaluate_relations` returns.
        decided: What the model decided; the wrong pairs with the highest probability are shown.

    Raises:
        InputError: If the file can't be written.
    """
    errors = sorted((e for d in decided for e in _errors(d)), key=lambda e: -e.p)
    page = render(
        "errors.html",
        result=result,
        relations=RELATIONS,
        errors=errors[:MAX_ERRORS],
        total=len(errors),
    )
    try:
        replace_file(path, page)
    except OSError as error:
        raise InputError(f"Can't write {path}: {error}. Give another --page.") from error


def _errors(decided: Decided) -> Iterator[Error]:
    passage = decided.passage
    for relation, gold, predicted, row in zip(
        passage.relations, decided.gold, decided.predicted, decided.probabilities, strict=True
    ):
        if gold != predicted:
            yield Error(
                sentence=passage.report.report_id,
                pieces=_pieces(passage, relation.bookmark, relation.mention),
                term=passage.mentions[relation.mention].term,
                gold=RELATIONS[gold],
                predicted=RELATIONS[predicted],
                p=float(row[predicted]),
                p_gold=float(row[gold]),
            )


def _pieces(passage: Passage, bookmark: str, mention: int) -> list[tuple[str, str]]:
    """The sentence cut where a mark begins or ends, each piece with the classes of its marks."""
    text, at = passage.sentence.text, passage.sentence.start
    marks = [(passage.mentions[mention].start, passage.mentions[mention].end, "m")]
    for b in passage.bookmarks:
        focus = " focus" if b.id == bookmark else " prior" if b.kind == "prior" else ""
        marks.append((b.start, b.end, "b" + focus))
    cuts = sorted({0, len(text), *(place - at for mark in marks for place in mark[:2])})
    return [
        (
            text[start:end],
            " ".join(name for a, b, name in marks if a - at <= start and end <= b - at),
        )
        for start, end in pairwise(cuts)
    ]
