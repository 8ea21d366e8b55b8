"""The weights of score propagation, and what the ontology says of them."""

import pytest
import torch

from vision.heatmap import MOST_LABELS, chosen_labels, draw_propagation
from vision.labels import LabelSpace
from vision.lesanet import LesaNetConfig, LesaNetModel
from vision.propagation import agreement, propagation_pairs, propagation_weights, strongest

NAMES = ["lung", "left lung", "liver", "cyst"]
CLASSES = ["bodypart", "bodypart", "bodypart", "type"]


@pytest.fixture
def space():
    return LabelSpace.from_index_lists(NAMES, CLASSES, [[], [0], [], []], [[2], [2], [0, 1], []])


@pytest.fixture
def weights():
    """[i, j]: from label j to label i."""
    values = torch.eye(4)
    values[0, 1] = 0.4  # left lung to lung, its ancestor
    values[1, 0] = 0.1
    values[2, 0] = -0.3  # lung to liver, exclusive
    values[0, 2] = 0.2  # liver to lung, exclusive
    values[3, 2] = 0.3  # liver to cyst
    return values


def test_pairs_name_source_and_target_and_their_relation(weights, space):
    pairs = propagation_pairs(weights, space)
    assert len(pairs) == 4 * 3
    rows = {(r.source, r.target): (round(r.weight, 2), r.relation, r.agrees)
            for r in pairs.itertuples()}  # fmt: skip
    assert rows["left lung", "lung"] == (0.4, "ancestor", True)
    assert rows["lung", "left lung"] == (0.1, "descendant", None)
    assert rows["lung", "liver"] == (-0.3, "exclusive", True)
    assert rows["liver", "lung"] == (0.2, "exclusive", False)
    assert rows["liver", "cyst"] == (0.3, "other", None)
    assert pairs["weight"].is_monotonic_decreasing


def test_the_strongest_of_either_sign(weights, space):
    positive, negative = strongest(propagation_pairs(weights, space), count=2)
    assert positive[["source", "target"]].to_numpy().tolist() == [
        ["left lung", "lung"], ["liver", "cyst"],
    ]  # fmt: skip
    assert negative[["source", "target"]].to_numpy().tolist() == [["lung", "liver"]]  # no zeros


def test_agreement_counts_signs_by_relation(weights, space):
    found = agreement(propagation_pairs(weights, space), count=3)
    exclusive = found["by_relation"]["exclusive"]
    assert exclusive == {
        "pairs": 4, "mean": pytest.approx(-0.025), "positive": 0.25, "negative": 0.25,
    }  # fmt: skip
    assert found["by_relation"]["ancestor"]["positive"] == 1
    assert found["strongest_positive"] == {
        "ancestor": 1, "descendant": 0, "exclusive": 1, "other": 1,
    }  # fmt: skip
    assert found["strongest_negative"]["exclusive"] == 1


def test_a_network_without_the_layer_has_no_weights(space):
    made = [
        LesaNetModel(LesaNetConfig.from_labels(space, backbone="resnet10", propagation=on))
        for on in (True, False)
    ]
    assert torch.equal(propagation_weights(made[0]), torch.eye(4))
    assert propagation_weights(made[1]) is None


def test_the_heat_map_takes_the_labels_of_the_strongest_pairs(weights, space):
    pairs = propagation_pairs(weights, space)
    assert chosen_labels(pairs, space, most=3) == [0, 1, 2]
    figure = draw_propagation(weights, space, pairs)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == NAMES  # by class
    values = axes.images[0].get_array()
    assert values[0, 1] == pytest.approx(0.4)
    assert values[0, 0] == 0  # the diagonal would drown the rest
    low, high = axes.images[0].get_clim()
    assert low == -high == pytest.approx(-0.4)
    assert len(axes.collections) == 3  # a mark for each relation of the ontology


def test_the_heat_map_of_many_labels_stays_readable():
    count = 2 * MOST_LABELS
    names = [f"label {i}" for i in range(count)]
    empty = [[] for _ in names]
    space = LabelSpace.from_index_lists(names, ["type"] * count, empty, empty)
    weights = torch.randn(count, count, generator=torch.Generator().manual_seed(1))
    assert len(chosen_labels(propagation_pairs(weights, space), space)) <= MOST_LABELS


def test_untrained_weights_can_be_drawn(space):
    pairs = propagation_pairs(torch.eye(4), space)
    assert chosen_labels(pairs, space) == []
    draw_propagation(torch.eye(4), space, pairs)
