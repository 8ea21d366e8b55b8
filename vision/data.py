"""A lesion dataset as a network reads it: batches of patches, boxes and label masks.

The patches stay on disk, in the memory-mapped Arrow file that `datasets` makes of the shards in its
cache when it first sees them, and are turned into float32 as they are asked for. Sentences of
reports stay out of that copy.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from datasets import Dataset as ArrowDataset
from datasets import Features
from datasets.exceptions import DatasetGenerationError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vision.errors import InputError
from vision.images import normalise
from vision.labels import LabelSpace, check_label_names
from vision.rows import LISTS, PATCH_SHAPE, label_names_of, shards_of

if TYPE_CHECKING:
    from pyarrow import ChunkedArray

Batch = dict[str, Tensor]


class LesionData(Protocol):
    """What training and scoring ask of lesions, by number; a `LesionDataset` is one.

    A batch holds at least `pixel_values` (n, 3, H, W), as the network takes them, and `boxes_px`
    (n, 4), the lesions in them. The label lists are masks. Shape of each: (N, C), bool.

    `boxes_px` are the boxes of all lesions in their patches, which have 1 mm a pixel, and
    `image_boxes_px` those in their images. Shape of both: (N, 4).
    """

    space: LabelSpace
    relevant: Tensor
    uncertain: Tensor
    irrelevant: Tensor

    @property
    def boxes_px(self) -> Tensor: ...

    @property
    def image_boxes_px(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Batch: ...


class LesionDataset(Dataset[Batch]):
    """One split of a lesion dataset.

    A batch holds, for N lesions and C labels:

    - pixel_values: The patches, `normalise`d. Shape: (N, 3, 120, 120), float32.
    - boxes_px: The lesions in them, x0, y0, x1, y1. Shape: (N, 4), float32.
    - relevant, uncertain, irrelevant: Its label lists as masks. Shape: (N, C), bool.
    - index: Which lesions of the split they are. Shape: (N,).

    `load_batches` takes whole batches from `__getitems__`.

    Attributes:
        space: The labels, their order and relations.
        relevant, uncertain, irrelevant: The masks of the whole split.
        boxes_px: The boxes of the whole split.

    Raises:
        InputError: If the folder holds no lesion dataset, no such split, or no patches, or if
            its labels.json has other labels than its rows.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.rows = _open_split(folder, split)
        self.space = LabelSpace.from_json(folder / "labels.json")
        check_label_names(
            self.space.names,
            label_names_of(self.rows.features),
            what=str(folder / "labels.json"),
            than="the dataset's rows",
            advice="Both are written together; copy the dataset anew, or make it again.",
        )
        self.boxes_px = torch.tensor(self._column("patch_box_px").to_pylist())
        self.relevant, self.uncertain, self.irrelevant = (
            _mask(self._column(name), len(self.space)) for name in LISTS
        )

    @property
    def image_boxes_px(self) -> Tensor:
        """The boxes of the split in their images. Shape: (N, 4)."""
        return torch.tensor(self._column("box_px").to_pylist())

    @property
    def lesion_ids(self) -> list[str]:
        """The lesions of the split."""
        return list(self._column("lesion_id").to_pylist())

    @property
    def patient_ids(self) -> list[str]:
        """The patient of each lesion."""
        return list(self._column("patient_id").to_pylist())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        pixels = torch.empty(len(indices), *PATCH_SHAPE)
        for place, index in enumerate(indices):
            pixels[place] = normalise(self.patch(index))
        rows = torch.as_tensor(indices)
        masks = {name: getattr(self, name)[rows] for name in LISTS}
        return {
            "pixel_values": pixels,
            "boxes_px": self.boxes_px[rows],
            **masks,
            "index": rows,
        }

    def patch(self, index: int) -> Tensor:
        """A patch before it is normalised. Shape: (3, 120, 120), float32, in [0, 255]."""
        starts, chunks = self._chunks
        chunk = bisect_right(starts, index) - 1
        return chunks[chunk][index - starts[chunk]].float()

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes: they map the file again."""
        return {name: value for name, value in self.__dict__.items() if name != "_chunks"}

    @cached_property
    def _chunks(self) -> tuple[list[int], list[Tensor]]:
        """The first lesion of each Arrow chunk, and its patches, float16, not copied."""
        chunks = self._column("patch").chunks
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the map can't be written to; nor do we
            views = [
                torch.from_numpy(
                    chunk.storage.flatten().flatten().flatten().to_numpy().reshape(-1, *PATCH_SHAPE)
                )
                for chunk in chunks
            ]
        return [0, *accumulate(map(len, views))][:-1], views

    def _column(self, name: str) -> ChunkedArray:
        return self.rows.data.column(name)


def sentences_of(folder: Path, split: str) -> list[tuple[str, ...]]:
    """The report sentences of each lesion of a split, from the dataset's shards.

    Raises:
        InputError: If the folder holds no dataset that can be read, or no such split.
    """
    from pyarrow import ArrowException, parquet

    try:
        shards = [parquet.read_table(p, columns=["sentences"]) for p in shards_of(folder)[split]]
    except (OSError, ArrowException, KeyError) as error:
        raise InputError(
            f"The sentences of the split '{split}' of {folder} can't be read. Copy the dataset "
            "anew, or make it again."
        ) from error
    return [tuple(row or ()) for shard in shards for row in shard["sentences"].to_pylist()]


def load_batches(
    data: LesionData, batches: Sequence[Sequence[int]], *, workers: int = 0
) -> Iterable[Batch]:
    """Load some batches, ahead of time in other processes if there are workers."""
    return DataLoader(
        cast(Any, data),
        batch_sampler=cast(Any, batches),
        num_workers=workers,
        # Not forked: in a flow, Prefect's threads may hold locks that a fork would never release.
        multiprocessing_context="forkserver" if workers else None,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
    )


def _as_it_is(batch: Any) -> Any:
    """What `__getitems__` returns is stacked already."""
    return batch


def _open_split(folder: Path, split: str) -> ArrowDataset:
    from pyarrow import ArrowException, parquet

    shards = shards_of(folder)
    if split not in shards:
        raise InputError(
            f"{folder} has no lesions in the split '{split}', only in {', '.join(shards)}."
        )
    try:
        features = Features.from_arrow_schema(parquet.read_schema(shards[split][0]))
        if "patch" not in features:
            raise InputError(
                f"{folder} holds no patches: it was mined, and its images are still to be read. "
                f"Run: lesionary lesions prepare {folder} --images FOLDER --out LESIONS"
            )
        columns = [name for name in features if name != "sentences"]
        return ArrowDataset.from_parquet(
            [str(path) for path in shards[split]], split=split, columns=columns
        )
    except (OSError, ArrowException, DatasetGenerationError) as error:
        raise InputError(
            f"The split '{split}' of {folder} can't be read: {error.__cause__ or error}. Copy the "
            "dataset anew, or make it again."
        ) from error


def _mask(lists: ChunkedArray, size: int) -> Tensor:
    """Lists of label indices as a mask. Shape: (N, size), bool."""
    from pyarrow import compute

    lists = lists.combine_chunks()
    mask = torch.zeros(len(lists), size, dtype=torch.bool)
    rows = torch.tensor(compute.list_parent_indices(lists).to_pylist(), dtype=torch.long)
    labels = torch.tensor(compute.list_flatten(lists).to_pylist(), dtype=torch.long)
    mask[rows, labels] = True
    return mask
