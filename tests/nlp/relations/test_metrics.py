import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp.relations.metrics import binary_scores, bootstrap, macro_f1, scores

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
