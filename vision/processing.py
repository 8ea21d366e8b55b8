"""Patches to network inputs, and how the patches were made, saved beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoImageProcessor, BaseImageProcessor, BatchFeature

from vision.images import WINDOW_HU, normalise
from vision.lesanet import LesaNetConfig


class LesaNetImageProcessor(BaseImageProcessor):
    """`vision.images.normalise` for patches: subtract the mean and divide by 255.

    The other settings say how patches are cut from CT images (see `vision.images`); they have no
    effect here.
    """

    def __init__(
        self,
        *,
        mean: float = 50.0,
        patch_size_px: int = 120,
        window_hu: Sequence[float] = WINDOW_HU,
        mm_per_px: float = 1.0,
        slice_step_mm: float = 2.0,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.mean = mean
        self.patch_size_px = patch_size_px
        self.window_hu = list(window_hu)
        self.mm_per_px = mm_per_px
        self.slice_step_mm = slice_step_mm

    @classmethod
    def from_config(cls, config: LesaNetConfig) -> LesaNetImageProcessor:
        """The processor of a model."""
        return cls(
            mean=config.mean,
            patch_size_px=config.patch_size_px,
            window_hu=config.window_hu,
            mm_per_px=config.mm_per_px,
            slice_step_mm=config.slice_step_mm,
        )

    def __call__(  # type: ignore[override]
        self, images: Tensor | Sequence[Tensor], *_: Any, **__: Any
    ) -> BatchFeature:
        """Prepare one patch or several.

        Args:
            images: In [0, 255], any dtype. Shape: (3, H, W), each or stacked.

        Returns:
            `pixel_values`, float32. Shape: (N, 3, H, W).

        Example:
            >>> processor = LesaNetImageProcessor()
            >>> processor(torch.full((3, 1, 2), 101.0))["pixel_values"][0, 0]
            tensor([[0.2000, 0.2000]])
        """
        pixels = images if isinstance(images, Tensor) else torch.stack(list(images))
        pixels = pixels if pixels.ndim == 4 else pixels.unsqueeze(0)
        return BatchFeature({"pixel_values": normalise(pixels.float(), mean=self.mean)})


AutoImageProcessor.register(
    LesaNetConfig, image_processor_classes={"torchvision": LesaNetImageProcessor}
)
