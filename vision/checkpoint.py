"""The authors' published checkpoint, converted.

They saved a dict with `state_dict` and their settings by PyTorch 0.4; their layers are
conv{block}_{i}, bn{block}_{i}, fc_pool1 to fc_pool5, fc_emb, class_scores1 and class_scores2.
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from vision.errors import InputError
from vision.labels import LabelSpace
from vision.lesanet import LesaNetConfig, LesaNetModel

# What the settings beside the weights may consist of; nothing of it runs code.
_HARMLESS: Final[list[Any]] = [
    (OrderedDict, "easydict.EasyDict"),
    argparse.Namespace,
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.zeros(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float32", "float64")),
]
_SHOWN: Final = 3


def convert_checkpoint(
    path: Path, labels: LabelSpace | Sequence[str], **settings: Any
) -> LesaNetModel:
    """Read a checkpoint of the authors' LesaNet.

    Args:
        path: The file.
        labels: The labels in the order of its scores.
        settings: More for the `LesaNetConfig`, such as `thresholds`.

    Returns:
        The network, ready to predict.

    Raises:
        InputError: If the file can't be read, or holds other weights than a LesaNet with so many
            labels.
    """
    if isinstance(labels, LabelSpace):
        config = LesaNetConfig.from_labels(labels, **settings)
    else:
        config = LesaNetConfig(
            id2label=dict(enumerate(labels)),
            label2id={name: i for i, name in enumerate(labels)},
            **settings,
        )
    model = LesaNetModel(config)
    model.load_state_dict(convert_weights(_read(path), model, source=str(path)))
    model.train(False)
    return model


def convert_weights(
    weights: Mapping[str, Tensor], model: LesaNetModel, *, source: str = "the checkpoint"
) -> dict[str, Tensor]:
    """Rename the authors' weights to those of a model with the VGG-16 backbone.

    The prefix `module.` that several GPUs leave is dropped. `num_batches_tracked`, which older
    versions of PyTorch did not have, may be missing; it has no effect.

    Raises:
        InputError: If a name is missing or unexpected, or a shape is another.
    """
    found = {name.removeprefix("module."): weight for name, weight in weights.items()}
    own = model.state_dict()
    names = dict(layer_names(model))
    expected = {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": name for name in own}
    optional = {name for name in expected if name.endswith(".num_batches_tracked")}
    problems = [
        *_problem("misses", sorted(expected.keys() - found.keys() - optional)),
        *_problem("has the unexpected", sorted(found.keys() - expected.keys())),
        *(
            f"has {name} of shape {tuple(found[name].shape)} instead of {tuple(own[ours].shape)}"
            for name, ours in expected.items()
            if name in found and found[name].shape != own[ours].shape
        ),
    ]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(
            f"{source} is no LesaNet checkpoint for {model.config.num_labels} labels: it "
            f"{'; it '.join(problems[:_SHOWN])}{more}. Give the published file and its labels."
        )
    return {ours: found.get(name, own[ours]) for name, ours in expected.items()}


def layer_names(model: LesaNetModel) -> Iterator[tuple[str, str]]:
    """The layers with weights: our name, their name."""
    for block, stage in enumerate(model.backbone.stages):
        for theirs, kind in (("conv", nn.Conv2d), ("bn", nn.BatchNorm2d)):
            layers = [name for name, layer in stage.named_children() if isinstance(layer, kind)]
            for i, name in enumerate(layers, start=1):
                yield f"backbone.stages.{block}.{name}", f"{theirs}{block + 1}_{i}"
    for i in range(len(model.projections)):
        yield f"projections.{i}", f"fc_pool{i + 1}"
    yield "embedding", "fc_emb"
    yield "classifier", "class_scores1"
    yield "propagation", "class_scores2"


def _problem(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"{what} {', '.join(names[:_SHOWN])}{more}"


def _read(path: Path) -> Mapping[str, Tensor]:
    """The weights in a file, by the authors' names; nothing in the file can run code."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"Can't read {path}: {error.strerror}.") from error
    except (UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"Can't read {path} as a PyTorch checkpoint, or it holds more than weights and plain "
            "settings, which is not loaded since it could run code. Load it where you trust it, "
            "and save its 'state_dict' alone by torch.save."
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not weights or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise InputError(f"{path} holds no 'state_dict' of weights. Give a LesaNet checkpoint.")
    return cast(Mapping[str, Tensor], weights)
