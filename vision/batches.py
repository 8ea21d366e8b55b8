"""What training and scoring ask of a dataset, and how batches are loaded from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vision.labels import LabelSpace

Batch = dict[str, Tensor]


class LesionData(Protocol):
    """Lesions by number, such as a `LesionDataset`: label lists as masks (N, C), and batches.

    A batch holds at least `pixel_values` (n, 3, H, W), as the network takes them, and `boxes_px`
    (n, 4), the lesions in them.
    """

    space: LabelSpace
    relevant: Tensor
    uncertain: Tensor
    irrelevant: Tensor

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Batch: ...


def load_batches(
    data: LesionData, batches: Sequence[Sequence[int]], *, workers: int = 0
) -> Iterable[Batch]:
    """Load some batches, ahead of time in other processes if there are workers."""
    return DataLoader(
        cast(Any, data),
        batch_sampler=cast(Any, batches),
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
    )


def _as_it_is(batch: Any) -> Any:
    """What `__getitems__` returns is stacked already."""
    return batch
