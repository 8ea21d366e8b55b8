"""Scores of relation predictions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from nlp.records import RELATIONS


def scores(gold: Sequence[int], predicted: Sequence[int]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each relation; 0 where undefined.

    Args:
        gold: Places in `RELATIONS`. Shape: (pairs,).
        predicted: The same for the predictions.
    """
    both = Counter(g for g, p in zip(gold, predicted, strict=True) if g == p)
    of_gold, of_predicted = Counter(gold), Counter(predicted)
    return {name: _prf(both[i], of_predicted[i], of_gold[i]) for i, name in enumerate(RELATIONS)}


def macro_f1(gold: Sequence[int], predicted: Sequence[int]) -> float:
    """The plain mean of the three F1.

    Example:
        >>> round(macro_f1([0, 1, 2], [0, 1, 1]), 3)
        0.556
    """
    return sum(s["f1"] for s in scores(gold, predicted).values()) / len(RELATIONS)


def bootstrap(
    sentences: Sequence[tuple[list[int], list[int]]], *, draws: int = 300, seed: int = 0
) -> tuple[float, float]:
    """A 95 % interval of macro-F1 when sentences are drawn anew.

    Args:
        sentences: Gold and predicted relations of the pairs of each sentence.
        draws: How many times.
        seed: Of the draws.
    """
    rng = random.Random(seed)
    values = []
    for _ in range(draws):
        drawn = rng.choices(sentences, k=len(sentences))
        gold = [g for golds, _ in drawn for g in golds]
        predicted = [p for _, predictions in drawn for p in predictions]
        values.append(macro_f1(gold, predicted))
    values.sort()
    return values[int(0.025 * draws)], values[int(0.975 * draws) - 1]


def binary_scores(gold: Sequence[int], predicted: Sequence[int]) -> dict[str, float]:
    """Scores of relevant or uncertain, taken as one, against irrelevant."""
    irrelevant = RELATIONS.index("irrelevant")
    hits = sum(g != irrelevant and p != irrelevant for g, p in zip(gold, predicted, strict=True))
    return _prf(hits, sum(p != irrelevant for p in predicted), sum(g != irrelevant for g in gold))


def _prf(both: int, predicted: int, gold: int) -> dict[str, float]:
    precision = both / predicted if predicted else 0.0
    recall = both / gold if gold else 0.0
    total = precision + recall
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / total if total else 0.0,
    }
