"""A small residual network, for training on a CPU.

He et al. 2016, arXiv:1512.03385, with one block a stage, half the channels of ResNet-18 and a 3 x 3
stem. Of the networks tried (RegNets, a DenseNet, ResNets of other widths, depths and strides) it
learned most per second of one core: LesaNet trains on 130 lesions a second with it, on 3.4 with
VGG-16.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from torch import nn
from torchvision.models.resnet import BasicBlock

from vision.backbones import Backbone

_WIDTHS: Final = (32, 32, 64, 128, 256)


def build() -> Backbone:
    """Build it with 1.2 million weights."""
    stem = nn.Sequential(*_convolution(3, _WIDTHS[0], kernel=3), nn.ReLU(inplace=True))
    return Backbone(
        [stem, *(_block(*widths) for widths in pairwise(_WIDTHS))],
        channels=_WIDTHS,
        strides=(2, 4, 8, 16, 32),
        channels_last=True,
    )


def _block(before: int, after: int) -> nn.Module:
    """Two convolutions that halve the map, and the way around them."""
    around = nn.Sequential(*_convolution(before, after, kernel=1))
    block: nn.Module = BasicBlock(before, after, stride=2, downsample=around)
    return block


def _convolution(before: int, after: int, *, kernel: int) -> tuple[nn.Module, nn.Module]:
    layer = nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False)
    return layer, nn.BatchNorm2d(after)
