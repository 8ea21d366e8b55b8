"""LesaNet's backbone: VGG-16 with batch normalisation, without its last pooling.

Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D. The maps are those after the last
ReLU of each of the five blocks, before the pooling that opens the next: conv1_2, conv2_2, conv3_3,
conv4_3 and conv5_3 (Yan et al. 2019, arXiv:1904.04661, section 3.3).
"""

from __future__ import annotations

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from vision.backbones import Backbone


def build() -> Backbone:
    """Build it with 14.7 million weights."""
    layers = make_layers(cfgs["D"][:-1], batch_norm=True)
    pools = [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    starts, ends = [0, *pools], [*pools, len(layers)]
    return Backbone(
        [layers[start:end] for start, end in zip(starts, ends, strict=True)],
        channels=(64, 128, 256, 512, 512),
        strides=(1, 2, 4, 8, 16),
    )
