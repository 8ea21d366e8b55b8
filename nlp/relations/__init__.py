"""Decide for each bookmark and mention: relevant, uncertain or irrelevant.

`RELATION_MODELS` names the modules of the models. Each has a `load` that takes a folder, or nothing
for what ships; those that learn have a `create` too. What `load` gives predicts passages: one array
of probabilities each, shape (pairs, 3), pairs in the order bookmark x mention, columns in the order
of `nlp.records.RELATIONS`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from nlp.errors import InputError
from nlp.records import RELATIONS, Passage, Relation

Probabilities = NDArray[np.float32]
RELATION_MODELS: Final = {
    "cnn": "nlp.relations.cnn",
    "cnn-attention": "nlp.relations.cnn_attention",
    "transformer": "nlp.relations.transformer",
    "rules": "nlp.relations.rules",
}
SHIPPED_MODELS: Final = ("cnn", "rules")
MODEL_TYPE: Final = "lesionary-relation-"  # and a name: `model_type` of a trained model's config
_PASSAGES_AT_A_TIME: Final = 512


class RelationModel(Protocol):
    """What a relation model offers."""

    @property
    def digest(self) -> str:
        """Changes when the predictions may change."""
        ...

    @property
    def relevant_at_least(self) -> float:
        """The probability below which a relevant pair counts as uncertain."""
        ...

    def predict(self, passages: Sequence[Passage]) -> list[Probabilities]:
        """Probabilities of every pair of each passage; see the module."""
        ...


def load_model(name: str = "cnn", *, precision: float | None = None) -> RelationModel:
    """Load a model by name, or a trained one from its folder.

    Args:
        name: One of `SHIPPED_MODELS`, or a folder.
        precision: Call a pair relevant only where the model was sure enough to reach this
            precision on its validation sentences; less sure pairs become uncertain.

    Raises:
        InputError: If there is neither a model nor a folder of that name, or if the model can't
            reach the precision.
    """
    model = _load(name)
    if precision is None:
        return model
    demand = getattr(model, "demand", None)
    if demand is None:
        raise InputError(f"The relation model '{name}' has no probabilities to set a precision by.")
    demand(precision)
    return model


def _load(name: str) -> RelationModel:
    if name in SHIPPED_MODELS:
        return cast(RelationModel, model_module(name).load(None))
    folder = Path(name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = str(config["model_type"]).removeprefix(MODEL_TYPE)
    except (OSError, ValueError, KeyError, TypeError):
        kind = ""
    if kind in RELATION_MODELS:
        return cast(RelationModel, model_module(kind).load(folder))
    raise InputError(
        f"There is no relation model '{name}'. Choose one of {', '.join(SHIPPED_MODELS)}, or the "
        "folder of a model made by 'lesionary relations train'."
    )


def model_module(name: str) -> Any:
    """The module of a model, by its name in `RELATION_MODELS`."""
    return importlib.import_module(RELATION_MODELS[name])


def pairs_of(passage: Passage) -> list[tuple[str, int]]:
    """All pairs of a passage: bookmark ids, the priors' aside, x places of mentions."""
    return list(product((b.id for b in passage.current), range(len(passage.mentions))))


def classify_relations(passages: Iterable[Passage], model: RelationModel) -> Iterator[Passage]:
    """Add the relations to passages, some hundred at a time."""
    stream = iter(passages)
    while group := list(islice(stream, _PASSAGES_AT_A_TIME)):
        for passage, probabilities in zip(group, model.predict(group), strict=True):
            places = decide(probabilities, model.relevant_at_least)
            yield replace(passage, relations=_relations(passage, probabilities, places))


def decide(probabilities: Probabilities, relevant_at_least: float = 0.0) -> list[int]:
    """The most probable relation of each pair, as places in `RELATIONS`.

    Example:
        >>> decide(np.array([[0.6, 0.1, 0.3], [0.9, 0.0, 0.1]]), relevant_at_least=0.8)
        [1, 0]
    """
    relevant, uncertain = RELATIONS.index("relevant"), RELATIONS.index("uncertain")
    places = probabilities.argmax(axis=1)
    if not relevant_at_least:
        return cast(list[int], places.tolist())
    unsure = (places == relevant) & (probabilities[:, relevant] < relevant_at_least)
    decided: list[int] = np.where(unsure, uncertain, places).tolist()
    return decided


def _relations(
    passage: Passage, probabilities: Probabilities, places: list[int]
) -> tuple[Relation, ...]:
    return tuple(
        Relation(
            bookmark=bookmark,
            mention=mention,
            relation=RELATIONS[decision],
            probabilities=(row[0], row[1], row[2]),
        )
        for (bookmark, mention), row, decision in zip(
            pairs_of(passage), probabilities.tolist(), places, strict=True
        )
    )
