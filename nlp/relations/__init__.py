"""Decide for each bookmark and mention: relevant, uncertain or irrelevant.

`RELATION_MODELS` names the models. Each has a `load` that takes a folder or nothing, and what it
loads predicts passages: one array of probabilities each, shape (pairs, 3), pairs in the order
bookmark x mention, columns in the order of `nlp.records.RELATIONS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from nlp.errors import InputError
from nlp.records import RELATIONS, Passage, Relation

Probabilities = NDArray[np.float32]
RELATION_MODELS: Final = {"cnn": "nlp.relations.cnn", "rules": "nlp.relations.rules"}
_PASSAGES_AT_A_TIME: Final = 256


class RelationModel(Protocol):
    """What a relation model offers."""

    @property
    def digest(self) -> str:
        """Changes when the predictions may change."""
        ...

    def predict(self, passages: Sequence[Passage]) -> list[Probabilities]:
        """Probabilities of every pair of each passage; see the module."""
        ...


def load_model(name: str = "cnn") -> RelationModel:
    """Load a model by name, or a trained one from its folder.

    Raises:
        InputError: If there is neither a model nor a folder of that name.
    """
    if name in RELATION_MODELS:
        return cast(RelationModel, importlib.import_module(RELATION_MODELS[name]).load(None))
    folder = Path(name)
    if (folder / "config.json").is_file():
        return cast(RelationModel, importlib.import_module(RELATION_MODELS["cnn"]).load(folder))
    raise InputError(
        f"There is no relation model '{name}'. Choose one of {', '.join(RELATION_MODELS)}, or the "
        "folder of a model made by 'lesionary relations train'."
    )


def pairs_of(passage: Passage) -> list[tuple[str, int]]:
    """All pairs of a passage: bookmark ids, the priors' aside, x places of mentions."""
    return list(product((b.id for b in passage.current), range(len(passage.mentions))))


def classify_relations(passages: Iterable[Passage], model: RelationModel) -> Iterator[Passage]:
    """Add the relations to passages, some hundred at a time."""
    stream = iter(passages)
    while group := list(islice(stream, _PASSAGES_AT_A_TIME)):
        for passage, probabilities in zip(group, model.predict(group), strict=True):
            yield replace(passage, relations=_relations(passage, probabilities))


def _relations(passage: Passage, probabilities: Probabilities) -> tuple[Relation, ...]:
    return tuple(
        Relation(
            bookmark=bookmark,
            mention=mention,
            relation=RELATIONS[int(row.argmax())],
            probabilities=(float(row[0]), float(row[1]), float(row[2])),
        )
        for (bookmark, mention), row in zip(pairs_of(passage), probabilities, strict=True)
    )
