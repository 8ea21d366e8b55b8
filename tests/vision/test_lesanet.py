import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from vision.backbones import BACKBONES
from vision.errors import InputError
from vision.labels import LabelSpace
from vision.lesanet import LesaNetConfig, LesaNetModel, check_labels, load_model, pool_boxes
from vision.processing import LesaNetImageProcessor

LABELS = LabelSpace.from_index_lists(
    ["lung", "left lung", "liver", "nodule"],
    ["bodypart", "bodypart", "bodypart", "type"],
    [[], [0], [], []],
    [[2], [2], [0, 1], []],
)


def network(backbone="resnet10", seed=0, **settings):
    torch.manual_seed(seed)
    return LesaNetModel(LesaNetConfig.from_labels(LABELS, backbone=backbone, **settings)).eval()


def inputs(n=2, size=120, seed=0):
    rng = torch.Generator().manual_seed(seed)
    boxes = torch.tensor([[50.0, 52.0, 70.0, 68.0], [40.0, 30.0, 80.0, 90.0]]).repeat(n, 1)[:n]
    return {
        "pixel_values": torch.rand(n, 3, size, size, generator=rng) - 0.2,
        "boxes_px": boxes,
    }


def round_half_up(x):
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)


def slow_pool(features, box, stride):
    """RoI max pooling of one channel to 5 x 5, cell by cell."""
    size = len(features)
    left, top, right, bottom = (round_half_up(side / stride) for side in box)
    width, height = max(right - left + 1, 1) / 5, max(bottom - top + 1, 1) / 5
    pooled = [[0.0] * 5 for _ in range(5)]
    for row in range(5):
        for column in range(5):
            rows = range(math.floor(row * height) + top, math.ceil((row + 1) * height) + top)
            columns = range(
                math.floor(column * width) + left, math.ceil((column + 1) * width) + left
            )
            inside = [
                features[y][x] for y in rows for x in columns if 0 <= y < size and 0 <= x < size
            ]
            pooled[row][column] = max(inside, default=0.0)
    return pooled


@given(
    corners=st.lists(st.integers(0, 150), min_size=4, max_size=4),
    stride=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_pooling_matches_the_rule(corners, stride):
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    features = torch.rand(120 // stride, 120 // stride)
    box = [float(left), float(top), float(right), float(bottom)]

    pooled = pool_boxes(features[None, None], torch.tensor([box]), stride=stride)

    expected = torch.tensor(slow_pool(features.tolist(), box, stride))
    torch.testing.assert_close(pooled[0, 0], expected, rtol=0, atol=0)


def test_whole_patch_at_stride_16_leaves_the_last_cells_empty():
    pooled = pool_boxes(torch.ones(1, 1, 7, 7), torch.tensor([[0.0, 0, 120, 120]]), stride=16)
    assert pooled[0, 0].tolist() == [[1, 1, 1, 1, 0]] * 4 + [[0] * 5]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_output_shapes(backbone):
    with torch.no_grad():
        output = network(backbone)(**inputs())
    assert output.scores.shape == output.refined_scores.shape == (2, 4)
    assert output.embeddings.shape == (2, 256)
    torch.testing.assert_close(output.embeddings.norm(dim=1), torch.ones(2))


def test_score_propagation_starts_as_the_identity():
    with torch.no_grad():
        output = network()(**inputs())
        without = network(propagation=False)(**inputs())
    torch.testing.assert_close(output.refined_scores, output.scores, rtol=0, atol=0)
    assert without.refined_scores is without.scores


def test_same_seed_same_network():
    with torch.no_grad():
        first, second, other = (network(seed=seed)(**inputs()).scores for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_lesions_do_not_see_each_other_when_predicting():
    model = network()
    with torch.no_grad():
        both = model(**inputs(2)).scores
        alone = model(**inputs(1)).scores
    torch.testing.assert_close(both[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_box_decides_what_the_first_maps_show():
    model, batch = network(), inputs()
    with torch.no_grad():
        here = model(**batch).scores
        there = model(**batch | {"boxes_px": batch["boxes_px"] / 2}).scores
    assert not torch.allclose(here, there)


def test_overfits_one_batch():
    model = network().train()
    batch = inputs(8, size=64)
    targets = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        scores = model(**batch).refined_scores
        loss = F.binary_cross_entropy_with_logits(scores, targets.float())
        loss.backward()
        optimizer.step()
    assert loss < 0.02


@pytest.mark.parametrize("mixed", [True, False])
def test_half_precision_gives_full_precision_scores(mixed):
    model, batch = network(), inputs(size=64)
    expected = model(**batch).scores
    if not mixed:
        model, batch["pixel_values"] = model.bfloat16(), batch["pixel_values"].bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        output = model(**batch)
    assert {value.dtype for value in output.values()} == {torch.float32}
    torch.testing.assert_close(output.scores, expected, rtol=0.1, atol=0.03)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_save_and_load(tmp_path, backbone):
    model = network(backbone, thresholds=[0.5, 0.3, 0.9, 0.6])
    model.save_pretrained(tmp_path)

    for loaded in (
        load_model(tmp_path),
        LesaNetModel.from_pretrained(tmp_path),
        AutoModel.from_pretrained(tmp_path),
    ):
        assert isinstance(loaded, LesaNetModel)
        assert not loaded.training
        assert loaded.config.label_names == list(LABELS.names)
        assert loaded.config.thresholds == [0.5, 0.3, 0.9, 0.6]
        assert loaded.config.labels.to_json() == LABELS.to_json()
        expected = model.state_dict()
        assert loaded.state_dict().keys() == expected.keys()
        assert all(torch.equal(v, expected[k]) for k, v in loaded.state_dict().items())
    assert AutoConfig.from_pretrained(tmp_path).backbone == backbone


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no LesaNet model"):
        load_model(tmp_path)
    model = network()
    model.save_pretrained(tmp_path)
    model.config.backbone = "vgg16"
    model.config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="holds no LesaNet model"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("thresholds", [0.5], "holds no LesaNet model"),
        ("id2label", 3, "holds no LesaNet model"),
        ("backbone", "vgg61", "There is no backbone 'vgg61'"),
    ],
)
def test_a_config_that_can_not_be_is_told(tmp_path, name, value, told):
    network().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(InputError, match=told):
        load_model(tmp_path)


def test_other_labels_are_named():
    config = network().config
    names = list(LABELS.names)
    check_labels(config, names)
    with pytest.raises(InputError, match=r"than the model: 'spleen' is new\. Choose"):
        check_labels(config, [*names, "spleen"])


def test_image_processor(tmp_path):
    processor = LesaNetImageProcessor.from_config(LesaNetConfig(mean=40.0, mm_per_px=0.8))
    processor.save_pretrained(tmp_path)
    network().config.save_pretrained(tmp_path)
    patch = torch.full((3, 120, 120), 91, dtype=torch.float16)

    for loaded in (
        LesaNetImageProcessor.from_pretrained(tmp_path),
        AutoImageProcessor.from_pretrained(tmp_path),
    ):
        assert isinstance(loaded, LesaNetImageProcessor)
        assert loaded.mm_per_px == 0.8
        assert loaded.window_hu == [-1024, 3071]
        pixels = loaded([patch, patch])["pixel_values"]
        assert pixels.dtype == torch.float32
        torch.testing.assert_close(pixels, torch.full((2, 3, 120, 120), 0.2))
