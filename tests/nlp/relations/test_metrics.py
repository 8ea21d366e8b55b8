import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.relations.metrics import (
    binary_scores,
    bootstrap,
    confusion,
    expected_calibration_error,
    macro_f1,
    paired_bootstrap,
    scores,
)

PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@given(PAIRS)
def test_scores_agree_with_scikit_learn(pairs):
    from sklearn.metrics import precision_recall_fscore_support

    gold, predicted = map(list, zip(*pairs, strict=True))
    theirs = precision_recall_fscore_support(gold, predicted, labels=[0, 1, 2], zero_division=0)
    ours = scores(gold, predicted).values()
    assert [s["precision"] for s in ours] == pytest.approx(theirs[0])
    assert [s["recall"] for s in ours] == pytest.approx(theirs[1])
    assert [s["f1"] for s in ours] == pytest.approx(theirs[2])
    assert macro_f1(gold, predicted) == pytest.approx(sum(theirs[2]) / 3)


def test_relevant_or_uncertain_are_one():
    assert binary_scores([0, 1, 2], [1, 0, 2])["f1"] == 1.0


def test_the_interval_holds_the_figure_and_repeats_itself():
    sentences = [([0, 1, 2], [0, 1, 2]), ([0, 2], [2, 2]), ([1], [0])] * 5
    low, high = bootstrap(sentences)
    gold = [g for golds, _ in sentences for g in golds]
    predicted = [p for _, predictions in sentences for p in predictions]
    assert low < macro_f1(gold, predicted) < high
    assert bootstrap(sentences) == (low, high)


def as_sentences(pairs, size=3):
    """Cut pairs into sentences: for each, a list of each column."""
    return [
        tuple(map(list, zip(*pairs[i : i + size], strict=True))) for i in range(0, len(pairs), size)
    ]


@given(PAIRS)
def test_confusion_counts_every_pair_once(pairs):
    gold, predicted = map(list, zip(*pairs, strict=True))
    counts = confusion(gold, predicted)
    assert counts.shape == (3, 3)
    assert all(counts[g, p] == pairs.count((g, p)) for g in range(3) for p in range(3))
    assert counts.sum() == len(pairs)


def test_confusion_refuses_lists_of_two_lengths():
    with pytest.raises(ValueError, match="2 gold relations, but 1"):
        confusion([0, 1], [0])


def reference_ece(gold, rows, bins=15):
    """Eq. (3) of Guo et al. (2017), bin by bin, in Python floats."""
    error = 0.0
    for b in range(bins):
        inside = [
            (g, row) for g, row in zip(gold, rows, strict=True)
            if b / bins < max(row) <= (b + 1) / bins
        ]  # fmt: skip
        if inside:
            accuracy = sum(row.index(max(row)) == g for g, row in inside) / len(inside)
            sure = sum(max(row) for _, row in inside) / len(inside)
            error += len(inside) / len(gold) * abs(accuracy - sure)
    return error


@given(n=st.integers(1, 60), seed=st.integers(0, 2**16))
def test_calibration_error_is_the_formula(n, seed):
    rng = np.random.default_rng(seed)
    gold, rows = rng.integers(3, size=n).tolist(), rng.dirichlet([0.4] * 3, size=n)
    error = expected_calibration_error(gold, rows)
    assert error == pytest.approx(reference_ece(gold, rows.tolist()), abs=1e-12)
    assert 0 <= error <= 1


@given(PAIRS)
def test_whoever_is_always_sure_errs_by_the_share_of_wrong_decisions(pairs):
    gold, predicted = map(list, zip(*pairs, strict=True))
    sure = np.eye(3, dtype=np.float32)
    wrong = sum(g != p for g, p in pairs) / len(pairs)
    assert expected_calibration_error(gold, sure[predicted]) == pytest.approx(wrong)
    assert expected_calibration_error(gold, sure[gold]) == 0


def test_without_a_pair_there_is_no_calibration_error():
    assert expected_calibration_error([], np.zeros((0, 3))) == 0


@given(pairs=PAIRS, seed=st.integers(0, 9))
def test_the_fast_bootstrap_is_the_slow_one(pairs, seed):
    """The same draws, with lists of pairs instead of sums of counts."""
    sentences = as_sentences(pairs)
    rng, values = np.random.default_rng(seed), []
    for _ in range(20):
        drawn = [sentences[i] for i in rng.integers(len(sentences), size=len(sentences))]
        gold = [g for golds, _ in drawn for g in golds]
        values.append(macro_f1(gold, [p for _, predictions in drawn for p in predictions]))
    expected = tuple(np.percentile(values, [2.5, 97.5]))
    assert bootstrap(sentences, draws=20, seed=seed) == pytest.approx(expected)


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=30))
def test_a_difference_changes_its_sign_with_the_order(triples):
    sentences = as_sentences(triples)
    ours = paired_bootstrap(sentences, draws=50)
    theirs = paired_bootstrap([(g, b, a) for g, a, b in sentences], draws=50)
    assert ours.mean == pytest.approx(-theirs.mean, abs=1e-12)
    assert ours.interval == pytest.approx((-theirs.interval[1], -theirs.interval[0]), abs=1e-12)
    assert 1 <= ours.not_better + theirs.not_better <= 2


def test_a_model_is_never_better_than_itself():
    paired = paired_bootstrap([([0, 1], [0, 2], [0, 2]), ([2], [2], [2])])
    assert paired == (0.0, (0.0, 0.0), 1.0)


def test_a_model_that_is_always_right_is_always_better():
    paired = paired_bootstrap([([0, 1, 2], [0, 1, 2], [1, 2, 0])] * 3)
    assert paired == (1.0, (1.0, 1.0), 0.0)
