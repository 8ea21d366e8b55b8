"""The embeddings of a lesion dataset, computed once and kept in the model's folder.

    MODEL/embeddings/DATASET.safetensors    for each split its embeddings and, if there is one that
                                            takes long to build, the state of its index

Its metadata hold a digest of the model's files and of the dataset's shards; where it is another,
the file is written anew. Neither sentences nor ids are in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
import torch

from vision.data import LesionDataset
from vision.errors import InputError
from vision.indexes import Index, make_index
from vision.lesanet import check_labels, load_model
from vision.prediction import predict
from vision.rows import shards_of
from vision.run_folder import write_file

FOLDER: Final = "embeddings"
_VERSION: Final = "1"  # to be raised when the file's content changes
_STATE: Final = ".index"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shelf:
    """The lesions of a split, and the index of their embeddings."""

    split: str
    lesions: LesionDataset
    vectors: np.ndarray[Any, np.dtype[np.float32]]
    index: Index


def open_shelves(
    model: Path, dataset: Path, *, say: Callable[[str], None] = print
) -> dict[str, Shelf]:
    """The lesions of a dataset by split, with the embeddings that a model gives them.

    Args:
        model: The model's folder.
        dataset: A lesion dataset with the model's labels.
        say: Is told when embeddings are computed, or can't be kept.

    Raises:
        InputError: If the model or the dataset can't be read, or they have other labels.
    """
    digest = digest_of(model, dataset)
    splits = {split: LesionDataset(dataset, split) for split in shards_of(dataset)}
    path = model / FOLDER / f"{dataset.resolve().name}.safetensors"
    stored = _read(path, digest, splits)
    shelves = {
        split: _shelf(split, lesions, stored)
        for split, lesions in splits.items()
        if split in stored
    }
    if len(shelves) < len(splits):
        say(f"Computing the embeddings of {sum(map(len, splits.values())):,} lesions, once.")
        shelves = _compute(model, splits)
        _keep(path, digest, shelves, say)
    return shelves


def digest_of(model: Path, dataset: Path) -> str:
    """What embeddings depend on: the model's bytes, and the names, sizes and times of the shards.

    A shard's name ends in a digest of its bytes, as long as nobody changes it in place.

    Raises:
        InputError: If there is no model or dataset.
    """
    digest = hashlib.blake2b(_VERSION.encode(), digest_size=16)
    for name in ("config.json", "model.safetensors"):
        try:
            with (model / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        except OSError:
            load_model(model)  # says what is wrong
            raise
    for split, paths in shards_of(dataset).items():
        stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        digest.update(json.dumps([split, stats]).encode())
    return digest.hexdigest()


def _compute(model: Path, splits: dict[str, LesionDataset]) -> dict[str, Shelf]:
    network: Any = load_model(model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    for lesions in splits.values():
        check_labels(network.config, lesions.space.names)
    found = {}
    for split, lesions in splits.items():
        found[split] = predict(network, lesions)["embeddings"].float().numpy()
        if not np.isfinite(found[split]).all():
            raise InputError(f"The network in {model} gives embeddings that are no numbers.")
    return {split: _shelf(split, lesions, found) for split, lesions in splits.items()}


def _shelf(split: str, lesions: LesionDataset, stored: dict[str, Any]) -> Shelf:
    vectors, state = stored[split], stored.get(split + _STATE)
    index = make_index(vectors, lesions.patient_ids, state)
    return Shelf(split=split, lesions=lesions, vectors=vectors, index=index)


def _read(path: Path, digest: str, splits: dict[str, LesionDataset]) -> dict[str, Any]:
    """What is stored for this model and dataset; nothing where it is for others, or damaged."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            if (file.metadata() or {}).get("digest") != digest:
                return {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):
        return {}
    whole = all(len(stored.get(split, ())) == len(lesions) for split, lesions in splits.items())
    return stored if whole else {}


def _keep(path: Path, digest: str, shelves: dict[str, Shelf], say: Callable[[str], None]) -> None:
    """Store embeddings, where that is possible; without, the next command computes them again."""
    content = safetensors.numpy.save(dict(_tensors(shelves)), metadata={"digest": digest})
    try:
        path.parent.mkdir(exist_ok=True)
        write_file(path, lambda file: file.write(content))
    except (OSError, InputError):
        say(f"Can't keep the embeddings in {path}: they will be computed again.")


def _tensors(shelves: dict[str, Shelf]) -> Iterator[tuple[str, Any]]:
    for split, shelf in shelves.items():
        yield split, shelf.vectors
        if shelf.index.state is not None:
            yield split + _STATE, shelf.index.state
