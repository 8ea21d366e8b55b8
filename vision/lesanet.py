"""LesaNet: the lesion annotation network of Yan et al. 2019, arXiv:1904.04661, section 3.3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.ops import roi_pool
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from vision.backbones import build_backbone
from vision.errors import InputError
from vision.images import WINDOW_HU
from vision.labels import LabelSpace, check_label_names
from vision.neighbours import NeighbourVote

_UNREADABLE: Final = (
    *(OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError),
    SafetensorError,
)
_POOL: Final = 5  # cells along a side of what is pooled from a map


class LesaNetConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """The labels and how they relate, the thresholds, the sizes, and how images are prepared.

    The names of the labels stand in `id2label`, as always with this library. `label_classes` holds
    the class of each, `ancestors` and `exclusives` a list of label indices for each, `thresholds`
    the probability from which each is predicted, once they are calibrated.

    With a `memory_size` above 0 the network has no classifier: it remembers so many lesions, and
    the `neighbours` nearest of them vote (`vision.neighbours`).

    `propagation` off leaves out the score propagation layer. New weights are PyTorch's defaults:
    those of the batch normalisation are ones, where PyTorch 0.4 drew them from U(0, 1).
    """

    model_type = "lesanet"

    def __init__(
        self,
        backbone: str = "vgg16",
        label_classes: Sequence[str] = (),
        ancestors: Sequence[Sequence[int]] = (),
        exclusives: Sequence[Sequence[int]] = (),
        thresholds: Sequence[float] | None = None,
        projection_size: int = 256,
        embedding_size: int = 256,
        propagation: bool = True,
        memory_size: int = 0,
        neighbours: int = 10,
        patch_size_px: int = 120,
        window_hu: Sequence[float] = WINDOW_HU,
        mm_per_px: float = 1.0,
        slice_step_mm: float = 2.0,
        mean: float = 50.0,
        **rest: Any,
    ) -> None:
        self.backbone = backbone
        self.label_classes = list(label_classes)
        self.ancestors = [list(indices) for indices in ancestors]
        self.exclusives = [list(indices) for indices in exclusives]
        self.thresholds = None if thresholds is None else list(thresholds)
        self.projection_size = projection_size
        self.embedding_size = embedding_size
        self.propagation = propagation
        self.memory_size = memory_size
        self.neighbours = neighbours
        self.patch_size_px = patch_size_px
        self.window_hu = list(window_hu)
        self.mm_per_px = mm_per_px
        self.slice_step_mm = slice_step_mm
        self.mean = mean
        super().__init__(**rest)

    @classmethod
    def from_labels(cls, labels: LabelSpace, **settings: Any) -> LesaNetConfig:
        """The config of a network for these labels."""
        return cls(
            id2label=dict(enumerate(labels.names)),
            label2id={name: i for i, name in enumerate(labels.names)},
            label_classes=labels.classes,
            ancestors=labels.ancestor_lists,
            exclusives=labels.exclusive_lists,
            **settings,
        )

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of the scores."""
        names: dict[int, str] = self.id2label or {}  # type: ignore[assignment]
        return [names[i] for i in range(len(names))]

    @property
    def labels(self) -> LabelSpace:
        """The labels and how they relate.

        Raises:
            InputError: If the lists in the config contradict each other.
        """
        return LabelSpace.from_index_lists(
            self.label_names, self.label_classes, self.ancestors, self.exclusives
        )


@dataclass
class LesaNetOutput(ModelOutput):
    """What the network says of N lesions and C labels.

    Attributes:
        scores: Logits of the classifier. Shape: (N, C).
        refined_scores: Logits after score propagation, which decide. Shape: (N, C).
        embeddings: Of unit length, for retrieval. Shape: (N, 256).
    """

    scores: Tensor = None  # type: ignore[assignment]
    refined_scores: Tensor = None  # type: ignore[assignment]
    embeddings: Tensor = None  # type: ignore[assignment]


class LesaNetModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The network.

    Every map of the backbone is max pooled to 5 x 5, the first three over the lesion's box, the
    others over the whole patch, and projected to 256 numbers. These 1,280 give the scores and the
    embedding without a non-linearity. The score propagation layer starts as the identity.

    Shape:
        - pixel_values: (N, 3, H, W), float, as `LesaNetImageProcessor` returns them.
        - boxes_px: (N, 4), float: x0, y0, x1, y1 of the lesion in pixels of the patch.
    """

    config_class: Any = LesaNetConfig
    main_input_name = "pixel_values"

    def __init__(self, config: LesaNetConfig) -> None:
        super().__init__(config)
        self.backbone = build_backbone(config.backbone)
        channels = self.backbone.channels
        self.projections = nn.ModuleList(
            nn.Linear(count * _POOL**2, config.projection_size) for count in channels
        )
        features, labels = config.projection_size * len(channels), len(config.label_names)
        self.embedding = nn.Linear(features, config.embedding_size)
        self.classifier: nn.Module
        if config.memory_size:
            self.classifier = NeighbourVote(
                config.memory_size, config.embedding_size, labels, neighbours=config.neighbours
            )
        else:
            self.classifier = nn.Linear(features, labels)
        self.propagation: nn.Module = nn.Identity()
        if config.propagation:
            self.propagation = nn.Linear(labels, labels)
            nn.init.eye_(self.propagation.weight)
            nn.init.zeros_(self.propagation.bias)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Leave the layers as they were made: PyTorch's and torchvision's defaults."""

    def forward(self, pixel_values: Tensor, boxes_px: Tensor) -> LesaNetOutput:
        height, width = pixel_values.shape[-2:]
        patch = boxes_px.new_tensor([0, 0, width, height]).expand_as(boxes_px)
        pooled = [
            pool_boxes(
                features, boxes_px if i < self.backbone.lesion_maps else patch, stride=stride
            ).flatten(1)
            for i, (features, stride) in enumerate(
                zip(self.backbone(pixel_values), self.backbone.strides, strict=True)
            )
        ]
        projected = torch.cat(
            [project(p) for project, p in zip(self.projections, pooled, strict=True)], dim=1
        )
        embeddings = F.normalize(_at_least_float32(self.embedding(projected)), dim=1)
        scores = self.classifier(embeddings if self.config.memory_size else projected)
        return LesaNetOutput(
            scores=_at_least_float32(scores),
            refined_scores=_at_least_float32(self.propagation(scores)),
            embeddings=embeddings,
        )


def pool_boxes(features: Tensor, boxes_px: Tensor, *, stride: int) -> Tensor:
    """Max pool one box of each map to 5 x 5 cells.

    The rule is that of the first RoI pooling (Girshick 2015, arXiv:1504.08083), which the authors
    used: box corners divided by the stride are rounded half away from zero, the last row and column
    belong to the box, cells overlap by rounding outwards, and a cell beyond the map is 0. So on a
    120 pixel patch at stride 16 (a map of 7 x 7) the last row and column of cells are always 0.

    Args:
        features: Shape: (N, C, H, W), float.
        boxes_px: x0, y0, x1, y1, one box for each map. Shape: (N, 4).
        stride: The pixels that a cell of the map stands for.

    Returns:
        Shape: (N, C, 5, 5).

    Example:
        >>> ramp = torch.arange(100.0).reshape(1, 1, 10, 10)
        >>> pool_boxes(ramp, torch.tensor([[0.0, 0.0, 18.0, 18.0]]), stride=2)[0, 0, 0]
        tensor([11., 13., 15., 17., 19.])
    """
    maps = _at_least_float32(features)  # there is no pooling of bfloat16, nor room for boxes in it
    places = torch.arange(len(boxes_px), device=maps.device, dtype=maps.dtype)
    boxes = torch.cat([places.unsqueeze(1), boxes_px.to(maps.dtype)], dim=1)
    pooled: Tensor = roi_pool(maps, boxes, _POOL, spatial_scale=1 / stride)
    return pooled.to(features.dtype)


def _at_least_float32(values: Tensor) -> Tensor:
    """Losses and thresholds need more digits than half precision has."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def load_model(folder: Path) -> LesaNetModel:
    """Load a trained network from its folder, ready to predict.

    Raises:
        InputError: If the folder holds no such network, not all of it, or one whose backbone is
            not known here.
    """
    # Not `from_pretrained`, which takes a second to find out that there is nothing to fetch.
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        if kind != LesaNetConfig.model_type:
            raise ValueError(kind)
        model = LesaNetModel(LesaNetConfig.from_pretrained(folder, local_files_only=True))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        thresholds = model.config.thresholds
        if thresholds is not None and len(thresholds) != model.config.num_labels:
            raise ValueError(f"{len(thresholds)} thresholds")
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"{folder} holds no LesaNet model that can be read. "
            "Train one with 'lesionary lesanet train'."
        ) from error
    model.train(False)
    return model


def check_labels(config: LesaNetConfig, names: Sequence[str]) -> None:
    """Make sure that a dataset's labels are the model's, in the same order.

    Raises:
        InputError: If they are not; the message names the difference.
    """
    check_label_names(
        names,
        config.label_names,
        what="The dataset",
        than="the model",
        advice="Choose a dataset with the model's labels, or train a model on this one.",
    )


AutoConfig.register(LesaNetConfig.model_type, LesaNetConfig)
AutoModel.register(LesaNetConfig, LesaNetModel)
