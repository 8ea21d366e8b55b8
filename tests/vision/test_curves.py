"""Curves and calibration against formulas written the slow way."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.curves import calibration, label_curves, mean_calibration_error
from vision.metrics import auc


def drawn(seed, *shape):
    """Scores with ties, what holds, and what is known."""
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 8, shape, generator=rng) / 7
    positive, known = torch.rand(2, *shape, generator=rng).unbind()
    return scores, positive < 0.4, known < 0.8


def slow_rates(scores, positive, known, threshold):
    """Recall, fall-out and precision when scores from the threshold on are predicted."""
    columns = (scores.tolist(), positive.tolist(), known.tolist())
    pairs = [(s, p) for s, p, k in zip(*columns, strict=True) if k]
    hits = sum(p for s, p in pairs if s >= threshold)
    alarms = sum(not p for s, p in pairs if s >= threshold)
    there = sum(p for _, p in pairs)
    found = hits + alarms
    return hits / there, alarms / (len(pairs) - there), hits / found if found else 1.0


@given(n=st.integers(1, 30), seed=st.integers(0, 2**16))
def test_curves_are_the_rates_at_every_threshold(n, seed):
    scores, positive, known = drawn(seed, n)
    curves = label_curves(scores, positive, known)
    if not ((positive & known).any() and (known & ~positive).any()):
        assert curves is None
        return
    assert curves.threshold[0] == math.inf
    assert sorted({*scores[known].tolist()}, reverse=True) == curves.threshold[1:].tolist()
    for place, threshold in enumerate(curves.threshold):
        expected = slow_rates(scores, positive, known, threshold)
        got = (curves.recall[place], curves.fall_out[place], curves.precision[place])
        assert got == pytest.approx(expected)
        assert curves.at(threshold) == pytest.approx(expected)
    assert curves.at(0.5) == pytest.approx(slow_rates(scores, positive, known, 0.5))


@given(n=st.integers(2, 30), seed=st.integers(0, 2**16))
def test_the_areas_are_those_of_the_formulas(n, seed):
    scores, positive, known = drawn(seed, n)
    if (curves := label_curves(scores, positive, known)) is None:
        return
    expected = auc(scores[:, None], positive[:, None], known[:, None]).item()
    assert curves.auc == pytest.approx(expected)
    area, before = 0.0, 0.0
    for threshold in sorted({*scores[known].tolist()}, reverse=True):
        recall, _, precision = slow_rates(scores, positive, known, threshold)
        area, before = area + (recall - before) * precision, recall
    assert curves.average_precision == pytest.approx(area)


def test_a_float32_score_reaches_its_own_threshold():
    curves = label_curves(
        torch.tensor([0.7, 0.1]), torch.tensor([True, False]), torch.tensor([True, True])
    )
    assert curves.at(0.7) == (1.0, 0.0, 1.0)


@given(n=st.integers(0, 20), bins=st.integers(1, 9), seed=st.integers(0, 2**16))
def test_calibration_is_that_of_the_formula(n, bins, seed):
    rng = torch.Generator().manual_seed(seed)
    scores, positive, known = torch.rand(3, n, 3, generator=rng)
    positive, known = positive < scores, known < 0.8
    pairs = [
        (s, p)
        for s, p, k in zip(*(v.flatten().tolist() for v in (scores, positive, known)), strict=True)
        if k
    ]
    found = calibration(scores, positive, known, bins=bins)
    error = 0.0
    for b in range(bins):
        inside = [(s, p) for s, p in pairs if b / bins <= s < (b + 1) / bins]
        assert found.count[b] == len(inside)
        if inside:
            score, share = np.mean(inside, axis=0)
            assert (found.score[b], found.share[b]) == pytest.approx((score, share))
            error += len(inside) / len(pairs) * abs(score - share)
        else:
            assert math.isnan(found.score[b])
            assert math.isnan(found.share[b])
    assert found.error == pytest.approx(error) if pairs else math.isnan(found.error)


def test_a_score_of_one_falls_into_the_last_bin():
    yes = torch.tensor([True])
    assert calibration(torch.tensor([1.0]), yes, yes, bins=4).count.tolist() == [0, 0, 0, 1]


def test_the_mean_error_is_over_labels_that_can_be_scored():
    scores = torch.tensor([[0.25, 0.5], [0.75, 0.9]])
    positive = torch.tensor([[False, True], [True, True]])
    known = torch.ones(2, 2, dtype=torch.bool)
    assert mean_calibration_error(scores, positive, known) == pytest.approx(0.25)
    assert math.isnan(mean_calibration_error(scores, positive, ~known))
