import argparse
import os
import sys
import types

import pytest
import torch

from vision.checkpoint import convert_checkpoint, convert_weights
from vision.errors import InputError
from vision.lesanet import LesaNetConfig, LesaNetModel

NAMES = ["lung", "liver", "nodule"]
BLOCKS = (64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3


def published_shapes():
    """Names and shapes of the layers with weights, as the authors' code has them."""
    before, labels = 3, len(NAMES)
    for block, widths in enumerate(BLOCKS, start=1):
        for i, width in enumerate(widths, start=1):
            yield f"conv{block}_{i}.weight", (width, before, 3, 3)
            yield f"conv{block}_{i}.bias", (width,)
            for kind in ("weight", "bias", "running_mean", "running_var"):
                yield f"bn{block}_{i}.{kind}", (width,)
            yield f"bn{block}_{i}.num_batches_tracked", ()
            before = width
        yield f"fc_pool{block}.weight", (256, before * 25)
        yield f"fc_pool{block}.bias", (256,)
    sizes = {"fc_emb": (256, 1280), "class_scores1": (labels, 1280)}
    for name, size in (sizes | {"class_scores2": (labels, labels)}).items():
        yield f"{name}.weight", size
        yield f"{name}.bias", size[:1]


@pytest.fixture(scope="module")
def weights():
    rng = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=rng) * 0.1 if shape else torch.tensor(7)
        for name, shape in published_shapes()
    }


def save(content, folder):
    """As PyTorch 0.4 wrote it: one pickle after the other, no zip."""
    path = folder / "checkpoint.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def test_converts_a_file_with_the_published_names(weights, tmp_path):
    path = save({"epoch": 15, "state_dict": weights, "optimizer": {"state": {}}}, tmp_path)

    model = convert_checkpoint(path, NAMES, thresholds=[0.5] * 3)

    assert not model.training
    assert model.config.label_names == NAMES
    assert model.config.label2id == {"lung": 0, "liver": 1, "nodule": 2}
    stage = model.backbone.stages[2]
    assert torch.equal(stage[4].weight, weights["conv3_2.weight"])
    assert torch.equal(stage[5].running_var, weights["bn3_2.running_var"])
    assert torch.equal(model.projections[3].weight, weights["fc_pool4.weight"])
    assert torch.equal(model.propagation.weight, weights["class_scores2.weight"])
    assert len(model.state_dict()) == len(weights)


def test_prefix_of_several_gpus_and_missing_counters_are_tolerated(weights, tmp_path):
    older = {
        f"module.{name}": weight
        for name, weight in weights.items()
        if not name.endswith("num_batches_tracked")
    }
    model = convert_checkpoint(save(older, tmp_path), NAMES)
    assert torch.equal(model.embedding.bias, weights["fc_emb.bias"])


def test_settings_of_the_authors_kind_are_read_past(weights, tmp_path, monkeypatch):
    import numpy as np

    module = types.ModuleType("easydict")
    module.EasyDict = type("EasyDict", (dict,), {"__module__": "easydict"})
    monkeypatch.setitem(sys.modules, "easydict", module)
    settings = module.EasyDict(
        lr=np.float64(0.01), sizes=np.arange(3), inner=module.EasyDict(names=["lung"])
    )
    content = {
        "state_dict": weights,
        "config": settings,
        "default_arg": argparse.Namespace(seed=123),
    }
    path = save(content, tmp_path)
    monkeypatch.delitem(sys.modules, "easydict")
    assert convert_checkpoint(path, NAMES).config.num_labels == 3


class Attack:
    def __reduce__(self):
        return os.mkdir, ("broken-into",)


def test_code_in_the_file_is_not_run(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save({"state_dict": weights, "config": Attack()}, tmp_path)
    with pytest.raises(InputError, match="could run code"):
        convert_checkpoint(path, NAMES)
    assert not (tmp_path / "broken-into").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc_emb.bias": None}, "it misses fc_emb.bias. Give"),
        ({"fc6.weight": torch.ones(1)}, "it has the unexpected fc6.weight"),
        ({"fc_emb.bias": torch.ones(2)}, r"has fc_emb.bias of shape \(2,\) instead of \(256,\)"),
    ],
)
def test_other_weights_are_refused(weights, change, message):
    changed = {k: v for k, v in (weights | change).items() if v is not None}
    model = LesaNetModel(LesaNetConfig(id2label=dict(enumerate(NAMES))))
    with pytest.raises(InputError, match=message):
        convert_weights(changed, model)


def test_other_number_of_labels_is_refused(weights, tmp_path):
    with pytest.raises(InputError, match="no LesaNet checkpoint for 2 labels"):
        convert_checkpoint(save({"state_dict": weights}, tmp_path), NAMES[:2])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02}q\x00."])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.pth"):
        convert_checkpoint(path, NAMES)


def test_other_content_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no 'state_dict'"):
        convert_checkpoint(save({"epoch": 3}, tmp_path), NAMES)
    with pytest.raises(InputError, match="No such file"):
        convert_checkpoint(tmp_path / "none", NAMES)
