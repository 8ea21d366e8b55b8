"""Scores of relation predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlp.records import RELATIONS

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
_N: Final = len(RELATIONS)


class Paired(NamedTuple):
    """How much better a first model is than a second one when sentences are drawn anew.

    `mean` and `interval` (95 %) are of the difference of macro-F1, `not_better` is the share of
    the draws in which it is not above 0.
    """

    mean: float
    interval: tuple[float, float]
    not_better: float


def confusion(gold: Sequence[int], predicted: Sequence[int]) -> Counts:
    """How often each relation was taken for each.

    Args:
        gold: Places in `RELATIONS`. Shape: (pairs,).
        predicted: The same for the predictions.

    Returns:
        Counts, gold by row, predicted by column. Shape: (3, 3).

    Example:
        >>> confusion([0, 0, 2], [0, 1, 2]).tolist()
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold relations, but {len(predicted)} predicted ones.")
    cells = _N * np.asarray(gold, dtype=np.int64) + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=_N * _N).reshape(_N, _N)


def scores(gold: Sequence[int], predicted: Sequence[int]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each relation; 0 where undefined.

    Args:
        gold: Places in `RELATIONS`. Shape: (pairs,).
        predicted: The same for the predictions.
    """
    counts = confusion(gold, predicted)
    of_gold, of_predicted = counts.sum(axis=1), counts.sum(axis=0)
    return {
        name: precision_recall(int(counts[i, i]), int(of_predicted[i]), int(of_gold[i]))
        for i, name in enumerate(RELATIONS)
    }


def macro_f1(gold: Sequence[int], predicted: Sequence[int]) -> float:
    """The plain mean of the three F1.

    Example:
        >>> round(macro_f1([0, 1, 2], [0, 1, 1]), 3)
        0.556
    """
    return float(_macro_f1(confusion(gold, predicted)))


def binary_scores(gold: Sequence[int], predicted: Sequence[int]) -> dict[str, float]:
    """Scores of relevant or uncertain, taken as one, against irrelevant."""
    counts = confusion(gold, predicted)
    stated = [RELATIONS.index("relevant"), RELATIONS.index("uncertain")]
    hits = counts[np.ix_(stated, stated)].sum()
    return precision_recall(int(hits), int(counts[:, stated].sum()), int(counts[stated].sum()))


def precision_recall(both: int, predicted: int, gold: int) -> dict[str, float]:
    """Precision, recall and F1 of `both` right answers; 0 where undefined."""
    precision = both / predicted if predicted else 0.0
    recall = both / gold if gold else 0.0
    total = precision + recall
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / total if total else 0.0,
    }


def expected_calibration_error(
    gold: Sequence[int], probabilities: NDArray[np.floating[Any]], *, bins: int = 15
) -> float:
    """How far the probability of what was decided is from the share of right decisions.

        ECE = sum_b |B_b| / n * |accuracy(B_b) - mean probability(B_b)|

    Eq. (3) of Guo et al. (2017), arXiv:1706.04599; the decisions are sorted by the probability
    of the decided relation into bins ((b-1)/bins, b/bins] of equal width, 15 as there.

    Args:
        gold: Places in `RELATIONS`. Shape: (pairs,).
        probabilities: Of the three relations. Shape: (pairs, 3).
        bins: How many.

    Returns:
        In [0, 1]; 0 if there is no pair.

    Example:
        >>> expected_calibration_error([0, 2], np.array([[1.0, 0, 0], [0.75, 0, 0.25]]))
        0.375
    """
    if not len(gold):
        return 0.0
    sure = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == np.asarray(gold)
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(gold))


def bootstrap(
    sentences: Sequence[tuple[list[int], list[int]]], *, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """A 95 % interval of macro-F1 when sentences are drawn anew (percentiles).

    Args:
        sentences: Gold and predicted relations of the pairs of each sentence.
        draws: How many times.
        seed: Of the draws.
    """
    counts = np.stack([confusion(gold, predicted) for gold, predicted in sentences])
    return _interval(_drawn_macro_f1(counts, draws, seed))


def paired_bootstrap(
    sentences: Sequence[tuple[list[int], list[int], list[int]]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Paired:
    """Compare the macro-F1 of two models on the same sentences, drawn anew for both alike.

    Args:
        sentences: For the pairs of each sentence the gold relations, the first model's, the
            second model's.
        draws: How many times.
        seed: Of the draws.
    """
    first, second = (
        np.stack([confusion(sentence[0], sentence[model]) for sentence in sentences])
        for model in (1, 2)
    )
    differences = _drawn_macro_f1(first, draws, seed) - _drawn_macro_f1(second, draws, seed)
    return Paired(
        mean=float(differences.mean()),
        interval=_interval(differences),
        not_better=float((differences <= 0).mean()),
    )


def _drawn_macro_f1(counts: Counts, draws: int, seed: int) -> Values:
    """Macro-F1 of sentences drawn with replacement, once a draw.

    The counts of a draw are the sum of its sentences' counts, so no list of pairs is built.
    Shape: (sentences, 3, 3) -> (draws,).
    """
    rng = np.random.default_rng(seed)
    n = len(counts)
    flat = counts.reshape(n, -1)
    drawn = [np.bincount(rng.integers(n, size=n), minlength=n) @ flat for _ in range(draws)]
    return _macro_f1(np.stack(drawn).reshape(draws, _N, _N))


def _macro_f1(counts: Counts) -> Values:
    """Mean of F1 = 2 both / (gold + predicted), 0 where undefined; (..., 3, 3) -> (...)."""
    both = np.diagonal(counts, axis1=-2, axis2=-1)
    total = counts.sum(axis=-1) + counts.sum(axis=-2)
    f1: Values = 2 * both / np.maximum(total, 1)
    return np.asarray(f1.mean(axis=-1))


def _interval(values: Values) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
