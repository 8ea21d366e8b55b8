"""Each method: learns, is saved and loaded, goes on after a stop, and what makes it differ."""

import pytest
import torch

from vision.errors import InputError
from vision.losses import LossConfig
from vision.methods import METHODS, RANKING_GRID, network_settings
from vision.recipe import TrainConfig
from vision.run_folder import latest_checkpoint
from vision.training import evaluate, predict


def test_an_unknown_method_is_told(tiny, tmp_path):
    with pytest.raises(InputError, match=r"no method 'wrap'\. Choose one of lesanet, multi"):
        tiny.train(tmp_path, method="wrap")


@pytest.mark.parametrize("method", METHODS)
def test_overfits_one_batch(tiny, tmp_path, method):
    data = tiny.TinyData(8)
    settings = {"epochs": 60, "batch_size": 8, "method": method}
    model, history = tiny.train(tmp_path, data=data, validation=data, **settings)
    assert history[-1]["total"] < history[0]["total"] / 4
    scores = evaluate(model, data).averages
    assert scores["auc"] > 0.95  # 1 but for WARP, which ranks labels rather than lesions
    assert scores["f1"] > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_model_says_the_same(tiny, tmp_path, method):
    from vision.lesanet import load_model

    model, _ = tiny.train(tmp_path, method=method, epochs=2)
    data = tiny.TinyData(7, seed=3)
    said = predict(model, data)
    assert said["probabilities"].shape == (7, 5)
    assert ((said["probabilities"] >= 0) & (said["probabilities"] <= 1)).all()
    for name, values in predict(load_model(tmp_path), data, batch_size=3).items():
        torch.testing.assert_close(values, said[name])


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_a_function_of_its_inputs_and_the_generator(tiny, tmp_path, method):
    one, two = (
        tiny.train(tmp_path / name, method=method, epochs=2)[0].state_dict() for name in "ab"
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_resuming_needs_the_same_method(tiny, tmp_path):
    tiny.train(tmp_path, epochs=1)
    with pytest.raises(InputError, match=r"method lesanet \(now warp\)"):
        tiny.train(tmp_path, epochs=1, method="warp", resume=True)
    assert latest_checkpoint(tmp_path)


def test_multilabel_learns_from_the_weighted_cross_entropy_alone(tiny, tmp_path):
    model, history = tiny.train(tmp_path, method="multilabel", epochs=1)
    assert history[0]["total"] == history[0]["weighted_bce"]
    assert not {"hard_examples", "triplets", "propagated"} & history[0].keys()
    assert not any("propagation" in name for name in model.state_dict())


def test_warp_ranks_what_holds_above_the_rest(tiny, tmp_path):
    data = tiny.TinyData(8)
    settings = {"epochs": 60, "batch_size": 8, "method": "warp"}
    model, history = tiny.train(tmp_path, data=data, validation=data, **settings)
    assert history[-1]["total"] == history[-1]["warp"] == 0  # every margin is kept
    assert not any("propagation" in name for name in model.state_dict())


def test_a_ranking_is_calibrated_where_its_scores_lie(tiny, tmp_path):
    data = tiny.TinyData(8)
    settings = {"epochs": 20, "batch_size": 8, "method": "warp"}
    model, _ = tiny.train(tmp_path, data=data, validation=data, **settings)
    assert {*model.config.thresholds} <= {*RANKING_GRID, 1.0}
    assert RANKING_GRID[4] == 0.5
    assert RANKING_GRID[-1] == pytest.approx(0.99995, abs=1e-5)


def test_the_network_has_what_the_method_needs():
    assert network_settings(TrainConfig(), 9)["propagation"]
    off = TrainConfig(loss=LossConfig(propagated=0.0))
    assert not network_settings(off, 9)["propagation"]
    assert not network_settings(TrainConfig(method="multilabel"), 9)["propagation"]
