"""What a model decides on annotated sentences, beside what the annotation says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlp.errors import InputError
from nlp.records import RELATIONS, Passage
from nlp.relations import Probabilities, RelationModel
from nlp.relations import decide as decide_pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """An annotated passage, and what a model decided on its pairs.

    `gold` and `predicted` are places in `RELATIONS`, in the order of the passage's relations;
    `probabilities` has the shape (pairs, 3).
    """

    passage: Passage
    gold: list[int]
    predicted: list[int]
    probabilities: Probabilities


def decide(passages: Sequence[Passage], model: RelationModel) -> list[Decided]:
    """What a model says of the passages that hold annotated pairs.

    Raises:
        InputError: If none does.
    """
    annotated = [p for p in passages if p.relations]
    if not annotated:
        raise InputError("The annotated sentences hold no pair of a bookmark and a mention.")
    return [
        Decided(
            passage=passage,
            gold=[RELATIONS.index(r.relation) for r in passage.relations],
            predicted=decide_pairs(rows, model.relevant_at_least),
            probabilities=rows,
        )
        for passage, rows in zip(annotated, model.predict(annotated), strict=True)
    ]
