"""Losses, pooling, network and checkpoint against numbers of the authors' code."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vision.checkpoint import convert_checkpoint, layer_names
from vision.lesanet import LesaNetModel, pool_boxes
from vision.losses import LesaNetLoss, LossConfig
from vision.losses.hard_examples import HardExampleMining
from vision.losses.triplets import (
    MultilabelTriplet,
    distances,
    expected_loss,
    label_similarity,
    sample_triplets,
)
from vision.losses.weighted_bce import WeightedBCE, class_weights, cross_entropy
from vision.targets import Targets

Numbers = Callable[[str], Any]
LABELS = 171


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mask(values: Any) -> Tensor:
    return torch.tensor(values).bool()


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [(torch.float64, 1e-6), (torch.float32, 1e-3)],
    ids=["float64", "float32"],
)
def test_weighted_cross_entropy(numbers: Numbers, kind: torch.dtype, tolerance: float) -> None:
    n = numbers("wce")
    weights = class_weights(torch.tensor(n["class_counts"]), n["num_samples"])
    logits = torch.tensor(n["logits"], dtype=kind, requires_grad=True)

    loss = WeightedBCE(*weights)(logits, mask(n["target"]), ~mask(n["uncertain"]))
    loss.backward()

    torch.testing.assert_close(weights[0], torch.tensor(n["pos_weight"]), rtol=1e-6, atol=0)
    torch.testing.assert_close(weights[1], torch.tensor(n["neg_weight"]), rtol=1e-6, atol=0)
    name = str(kind).removeprefix("torch.")
    assert loss.item() == pytest.approx(n[f"loss_{name}"], rel=tolerance)
    expected = torch.tensor(n[f"grad_logits_{name}"], dtype=kind)
    torch.testing.assert_close(logits.grad, expected, rtol=tolerance, atol=1e-9)
    assert ((logits.grad == 0) == (expected == 0)).all()


def test_hard_example_mining(numbers: Numbers) -> None:
    n = numbers("rhem")
    logits = double(n["logits"]).requires_grad_()
    targets, reliable = mask(n["target"]), mask(n["reliable_mask"])
    exact = HardExampleMining(gamma=n["gamma"], exact=True)

    difficulty = exact.difficulty(logits, targets, reliable)
    loss = exact(logits, targets, reliable)
    loss.backward()

    assert (reliable == targets | mask(n["exclusive_target"])).all()
    close = {"rtol": 1e-9, "atol": 1e-11}  # they are written with twelve digits
    torch.testing.assert_close(difficulty, double(n["difficulty"]), **close)
    share = difficulty / difficulty.sum()
    torch.testing.assert_close(share, double(n["sampling_probability"]), **close)
    torch.testing.assert_close(
        cross_entropy(logits.detach(), targets), double(n["cross_entropy"]), **close
    )
    assert loss.item() == pytest.approx(n["expected_loss"], rel=1e-9)
    torch.testing.assert_close(logits.grad, double(n["expected_grad_logits"]), **close)
    sampled = HardExampleMining(gamma=n["gamma"], draws=n["draws"])(
        logits, targets, reliable, generator=torch.Generator().manual_seed(0)
    )
    assert sampled.item() == pytest.approx(loss.item(), abs=4 * n["loss_std_at_10000_draws"])


def test_triplet_loss_of_given_triplets(numbers: Numbers) -> None:
    n = numbers("triplet")
    embeddings = double(n["embedding"]).requires_grad_()
    a, p, c = torch.tensor(n["triplets"]).T

    between = distances(embeddings)
    losses = (between[a, p] - between[a, c] + n["margin"]).relu()
    losses.mean().backward()

    close = {"rtol": 1e-9, "atol": 1e-11}
    torch.testing.assert_close(between[a, p], double(n["d_positive"]), **close)
    torch.testing.assert_close(between[a, c], double(n["d_negative"]), **close)
    torch.testing.assert_close(losses, double(n["per_triplet_loss"]), **close)
    assert losses.mean().item() == pytest.approx(n["loss"], rel=1e-9)
    torch.testing.assert_close(embeddings.grad, double(n["grad_embedding"]), **close)


def test_triplets_are_drawn_from_the_same_candidates(numbers: Numbers) -> None:
    n = numbers("triplet")
    similarity = label_similarity(mask(n["labels"]))

    drawn = sample_triplets(
        similarity, 40_000, theta=n["theta"], generator=torch.Generator().manual_seed(0)
    )

    stored = double([[0 if v is None else v for v in row] for row in n["similarity"]])
    torch.testing.assert_close(similarity.double().fill_diagonal_(0), stored, rtol=1e-6, atol=1e-7)
    triplets = torch.stack(drawn).T
    for row in n["positive_candidates"]:
        of_anchor = triplets[triplets[:, 0] == row["anchor"]]
        assert of_anchor[:, 1].unique().tolist() == sorted(row["candidates"])
    for row in n["negative_candidates"]:
        pair = torch.tensor([row["anchor"], row["positive"]])
        of_pair = triplets[(triplets[:, :2] == pair).all(1)]
        assert of_pair[:, 2].unique().tolist() == sorted(row["candidates"])


def test_expected_triplet_loss(numbers: Numbers) -> None:
    n = numbers("triplet")
    embeddings, targets = double(n["embedding"]), mask(n["labels"])
    rule = {"theta": n["theta"], "margin": n["margin"]}

    expected = expected_loss(distances(embeddings), label_similarity(targets), **rule)
    sampled = MultilabelTriplet(**rule, triplets=5_000)(
        embeddings, targets, generator=torch.Generator().manual_seed(0)
    )

    assert expected.item() == pytest.approx(n["expected_loss_under_reference_sampling"], rel=1e-9)
    spread = np.std(n["reference_runs_of_5000"])
    assert sampled.item() == pytest.approx(expected.item(), abs=6 * spread)


def test_roi_pooling(numbers: Numbers) -> None:
    for case in numbers("roi_pool"):
        stride = round(1 / case["scale"])
        side = torch.arange(120 // stride)
        stored = isinstance(case["map"], list)
        features = torch.tensor(case["map"]) if stored else 1000 * side[:, None] + side
        box = torch.tensor([case["box"]], dtype=torch.float32)
        pooled = pool_boxes(features.float()[None, None], box, stride=stride)
        assert pooled[0, 0].tolist() == case["pooled"]


@pytest.fixture
def network(numbers: Numbers, tmp_path: Any) -> LesaNetModel:
    """A network from a file with the published names, whose weights follow a rule."""
    shapes = numbers("model_forward")["parameter_shapes"]
    content = {
        "epoch": 15,
        "config": {"TRAIN": {"USE_CENTER_BOX": True}},
        "default_arg": {"term_list": [f"label {i}" for i in range(LABELS)]},
        "state_dict": {name: weight_by_rule(name, shape) for name, shape in shapes.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.01, "momentum": 0.9}]},
    }
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return convert_checkpoint(path, [f"label {i}" for i in range(LABELS)])


def weight_by_rule(name: str, shape: list[int]) -> Tensor:
    if not shape:
        return torch.tensor(0)
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    layer, _, kind = name.rpartition(".")
    if kind == "running_mean":
        z = 0.05 * z
    elif kind == "running_var":
        z = 1 + 0.1 * np.abs(z)
    elif kind == "bias":
        z = 0.02 * z
    elif layer.startswith("bn"):
        z = 1 + 0.1 * z
    elif layer == "class_scores2":
        z = np.eye(LABELS) + 0.01 * z
    else:
        gain = 2 if layer.startswith("conv") else 1
        z = z * np.sqrt(gain / np.prod(shape[1:]))
    return torch.from_numpy(z.astype(np.float32))


def inputs(n: Any) -> dict[str, Tensor]:
    patches = np.random.RandomState(171).uniform(-0.196, 0.804, (4, 3, 120, 120))
    return {
        "pixel_values": torch.from_numpy(patches.astype(np.float32)),
        "boxes_px": torch.tensor(n["center_box"]),
    }


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_network(numbers: Numbers, network: LesaNetModel, mode: str) -> None:
    n = numbers("model_forward")
    assert sum(p.numel() for p in network.parameters()) == n["num_parameters"]
    network.train(mode == "train")

    with torch.no_grad():
        output = network(**inputs(n))

    expected = n[mode]
    for ours, theirs in (
        (output.embeddings, "emb"),
        (output.scores, "score1"),
        (output.refined_scores, "score2"),
    ):
        first = torch.tensor(expected[f"{theirs}_first8"])
        torch.testing.assert_close(ours[:, :8], first, rtol=1e-4, atol=1e-5)
    for ours, theirs in ((output.scores, "score1"), (output.refined_scores, "score2")):
        total = torch.tensor(expected[f"{theirs}_sum"])
        torch.testing.assert_close(ours.sum(1), total, rtol=1e-4, atol=2e-3)
    assert output.refined_scores.abs().max().item() == pytest.approx(
        expected["score2_abs_max"], rel=1e-4
    )


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_losses_and_gradients_of_the_network(numbers: Numbers, network: LesaNetModel) -> None:
    n = numbers("model_forward")
    counts = numbers("label_counts")
    weights = class_weights(
        torch.tensor([row[3] for row in counts["rows"]]), counts["train_lesions"]
    )
    config = LossConfig(exact=True)
    targets = targets_of_lists(n)
    network.train()

    # The norms of the first layers differ by 0.25 % between algorithms for convolutions, since a
    # rounding error decides which of two cells is the larger; these are of the plain algorithm.
    with torch.backends.mkldnn.flags(enabled=False, allow_tf32=False):
        output = network(**inputs(n))
    losses = LesaNetLoss(*weights, config)(output, targets)
    a, p, c = torch.tensor(n["triplets"]).T
    between = distances(output.embeddings)
    triplet = (between[a, p] - between[a, c] + config.margin).relu().mean()
    total = losses["total"] + config.triplets * (triplet - losses["triplets"])
    with torch.backends.mkldnn.flags(enabled=False, allow_tf32=False):
        total.backward()

    expected = n["train"]["losses"]
    for ours, theirs in (
        (losses["weighted_bce"], "weighted_ce_1"),
        (losses["hard_examples"], "expected_rhem"),
        (triplet, "triplet"),
        (losses["propagated"], "weighted_ce_2"),
        (total, "total"),
    ):
        assert ours.item() == pytest.approx(expected[theirs], rel=1e-4)
    norms = gradient_norms(network)
    assert sum(norm**2 for norm in norms.values()) ** 0.5 == pytest.approx(
        n["train"]["grad_norm_all"], rel=1e-3
    )
    for name, norm in n["train"]["grad_norms"].items():
        assert norms[name] == pytest.approx(norm, rel=1e-3), name


def targets_of_lists(n: Any) -> Targets:
    positive, exclusive, ignored = (torch.zeros(4, LABELS, dtype=torch.bool) for _ in range(3))
    for labels, name in (
        (positive, "positives"),
        (exclusive, "exclusive_negatives"),
        (ignored, "ignored"),
    ):
        for row, places in zip(labels, n[name], strict=True):
            row[torch.tensor(places, dtype=torch.long)] = True
    return Targets(positive=positive, known=~ignored, reliable=positive | exclusive)


def gradient_norms(network: LesaNetModel) -> dict[str, float]:
    """By the authors' names."""
    names = dict(layer_names(network))
    return {
        f"{names[layer]}.{kind}": weight.grad.norm().item()
        for name, weight in network.named_parameters()
        for layer, _, kind in [name.rpartition(".")]
    }
