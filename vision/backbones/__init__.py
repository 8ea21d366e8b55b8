"""Backbones: image patches in, feature maps out.

`BACKBONES` names their modules. Each has `build() -> Backbone`, with weights from scratch.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn

from vision.errors import InputError

BACKBONES: Final = {"vgg16": "vision.backbones.vgg16", "resnet10": "vision.backbones.resnet10"}


class Backbone(nn.Module):
    """Stages that follow one another; the map after each is handed on.

    Attributes:
        stages: The stages.
        channels: The channels of each map.
        strides: The pixels of the patch that a cell of each map stands for, along one side.
        lesion_maps: How many of the maps, from the first, are pooled over the lesion; the others
            show its surroundings and are pooled over the whole patch.

    Shape:
        - pixel_values: (N, 3, H, W), float.
        - output: one map for each stage, (N, channels, about H / stride, about W / stride).
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        lesion_maps: int = 3,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.lesion_maps = lesion_maps
        self.channels_last = channels_last

    def forward(self, pixel_values: Tensor) -> list[Tensor]:
        # Inference is faster with channels last everywhere, training for some networks only.
        last = self.channels_last or not self.training
        layout = torch.channels_last if last else torch.contiguous_format
        maps = [pixel_values.contiguous(memory_format=layout)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def build_backbone(name: str) -> Backbone:
    """Build a backbone by its name.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in BACKBONES:
        raise InputError(f"There is no backbone '{name}'. Choose one of {', '.join(BACKBONES)}.")
    return cast(Backbone, importlib.import_module(BACKBONES[name]).build())
