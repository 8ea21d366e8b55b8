"""Score relation models on annotated sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from nlp.ontology import Ontology
from nlp.records import RELATIONS, Passage
from nlp.relations import load_model
from nlp.relations.corpus import read_corpora
from nlp.relations.metrics import (
    binary_scores,
    bootstrap,
    confusion,
    expected_calibration_error,
    macro_f1,
    paired_bootstrap,
    scores,
)
from pipelines.decisions import Decided, decide
from pipelines.end_to_end import score_end_to_end
from pipelines.error_page import write_error_page

GROUPS: Final = {
    "by_class": ("bodypart", "type", "attribute", "other"),
    "by_bookmarks": ("1", "2", "3+"),
    "by_words": ("1-15", "16-30", "31+"),
}


def evaluate_relations(
    gold: Iterable[Path],
    *,
    relations: str = "cnn",
    compare: str = "rules",
    precision: float | None = None,
    end_to_end: bool = False,
    page: Path | None = None,
) -> dict[str, Any]:
    """Score a model on annotated sentences, given their bookmarks and mentions.

    Args:
        gold: Files or folders of annotated sentences.
        relations: The model.
        compare: The model that it is compared with.
        precision: What the first model is asked for, see `nlp.relations.load_model`.
        end_to_end: Whether to score its decisions on the bookmarks and mentions that the project
            finds, too; see `pipelines.end_to_end`.
        page: An HTML page with the scores and the worst errors; it quotes the sentences.

    Returns:
        `model`, what `score_passages` returns, and `compared_with`: the other `model`, its
        `macro_f1`, the `difference` to it (positive where the first is better), and from a paired
        bootstrap over sentences `difference_mean`, `difference_95` and `not_better`, the share of
        draws in which the first was not better; None where both are the same model. With
        `end_to_end`, that too.

    Raises:
        InputError: If a file can't be read or holds no pair.
    """
    passages = read_corpora(gold)
    model, other = load_model(relations, precision=precision), load_model(compare)
    decided = decide(passages, model)
    result = {
        "model": relations,
        **_score(decided),
        "compared_with": None
        if model.digest == other.digest
        else {"model": compare, **_difference(decided, decide(passages, other))},
    }
    if end_to_end:
        result["end_to_end"] = score_end_to_end(passages, model, Ontology.from_csv())
    if page:
        write_error_page(page, result, decided)
    return result


def score_passages(passages: Sequence[Passage], relations: str) -> dict[str, Any]:
    """Score a model on annotated passages.

    Returns:
        `pairs`, `sentences`, `accuracy`, `macro_f1`, its 95 % bootstrap interval over sentences,
        precision, recall and F1 of each relation and of relevant or uncertain together, `ece` (the
        expected calibration error), `confusion` (gold by row, decided by column, both in the order
        of `RELATIONS`); `by_class`, `by_bookmarks` and `by_words`: see `group_scores`.

    Raises:
        InputError: If there is no pair.
    """
    return _score(decide(passages, load_model(relations)))


def _score(decided: Sequence[Decided]) -> dict[str, Any]:
    gold = list(chain.from_iterable(d.gold for d in decided))
    predicted = list(chain.from_iterable(d.predicted for d in decided))
    counts = confusion(gold, predicted)
    return {
        "pairs": len(gold),
        "sentences": len(decided),
        "accuracy": float(counts.trace() / counts.sum()),
        "macro_f1": macro_f1(gold, predicted),
        "macro_f1_95": bootstrap([(d.gold, d.predicted) for d in decided]),
        **scores(gold, predicted),
        "relevant_or_uncertain": binary_scores(gold, predicted),
        "ece": expected_calibration_error(gold, np.concatenate([d.probabilities for d in decided])),
        "confusion": counts.tolist(),
        **group_scores(decided, Ontology.from_csv()),
    }


def group_scores(
    decided: Sequence[Decided], ontology: Ontology
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Scores by the class of the label, the bookmarks of this study, the words of the sentence.

    Words stand between blanks. Labels that the ontology lacks, and words that only look like one,
    are of class `other`.

    Returns:
        For each group `pairs`, `macro_f1` and `relevant_or_uncertain_f1`. Macro-F1 is None where
        one of the three relations has no gold pair, since its F1 could only be 0; the other is
        None where no gold pair is relevant or uncertain. Groups without pairs are listed too.
    """
    table = pd.DataFrame([row for d in decided for row in _rows(d, ontology)])
    return {
        column: {name: _group(table[table[column] == name]) for name in names}
        for column, names in GROUPS.items()
    }


def _rows(decided: Decided, ontology: Ontology) -> Iterable[dict[str, Any]]:
    """The pairs of a passage, each with its groups."""
    passage = decided.passage
    bookmarks, words = len(passage.current), len(passage.sentence.text.split())
    for relation, gold, predicted in zip(
        passage.relations, decided.gold, decided.predicted, strict=True
    ):
        yield {
            "gold": gold,
            "predicted": predicted,
            "by_class": _class_of(passage.mentions[relation.mention].term, ontology),
            "by_bookmarks": GROUPS["by_bookmarks"][min(bookmarks, 3) - 1],
            "by_words": GROUPS["by_words"][(words > 15) + (words > 30)],
        }


def _class_of(term: str, ontology: Ontology) -> str:
    kind = ontology[term].kind if term in ontology else "none"
    return "other" if kind == "none" else kind


def _group(pairs: pd.DataFrame) -> dict[str, float | None]:
    gold, predicted = pairs["gold"].tolist(), pairs["predicted"].tolist()
    stated = any(RELATIONS[g] != "irrelevant" for g in gold)
    return {
        "pairs": len(gold),
        "macro_f1": macro_f1(gold, predicted) if len(set(gold)) == len(RELATIONS) else None,
        "relevant_or_uncertain_f1": binary_scores(gold, predicted)["f1"] if stated else None,
    }


def _difference(first: Sequence[Decided], second: Sequence[Decided]) -> dict[str, Any]:
    """How much better the first model is than the second; see `evaluate_relations`."""
    sentences = [(a.gold, a.predicted, b.predicted) for a, b in zip(first, second, strict=True)]
    gold, ours, theirs = (list(chain.from_iterable(part)) for part in zip(*sentences, strict=True))
    paired = paired_bootstrap(sentences)
    return {
        "macro_f1": macro_f1(gold, theirs),
        "difference": macro_f1(gold, ours) - macro_f1(gold, theirs),
        "difference_mean": paired.mean,
        "difference_95": paired.interval,
        "not_better": paired.not_better,
    }
