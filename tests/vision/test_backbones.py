import pytest
import torch

from vision.backbones import BACKBONES, build_backbone
from vision.errors import InputError


@pytest.mark.parametrize("name", BACKBONES)
def test_maps_have_the_channels_and_strides_they_promise(name):
    backbone = build_backbone(name)
    size = 120

    maps = backbone(torch.rand(2, 3, size, size))

    assert [m.shape[1] for m in maps] == list(backbone.channels)
    for features, stride in zip(maps, backbone.strides, strict=True):
        assert features.shape[2] == features.shape[3]
        assert features.shape[2] in (size // stride, -(-size // stride))
    assert 0 < backbone.lesion_maps < len(maps)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_learns(name):
    backbone = build_backbone(name)
    maps = backbone(torch.rand(2, 3, 64, 64))
    sum(features.square().sum() for features in maps).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize("name", BACKBONES)
def test_cells_stand_where_their_pixels_are(name):
    """A change within a small part of the patch changes the maps there, not elsewhere."""
    backbone = build_backbone(name).eval()
    patches = torch.zeros(2, 3, 256, 256)
    patches[1, :, 60:68, 180:188] = 1.0

    with torch.no_grad():
        maps = backbone(patches)

    for features, stride in zip(maps[:2], backbone.strides, strict=False):
        changed = (features[1] - features[0]).abs().sum(0)
        rows, columns = (changed > changed.max() / 100).nonzero().unbind(1)
        assert rows.float().mean() * stride == pytest.approx(64, abs=2 * stride + 2)
        assert columns.float().mean() * stride == pytest.approx(184, abs=2 * stride + 2)


def test_unknown_backbone_is_refused():
    with pytest.raises(InputError, match=r"no backbone 'vgg19'\. Choose one of vgg16"):
        build_backbone("vgg19")
