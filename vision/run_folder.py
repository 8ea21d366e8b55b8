"""What a run leaves on disk: a checkpoint to go on from, and the best model so far.

A file is written beside its place, forced to disk and renamed, so it is complete or absent
whenever the process dies. A newer checkpoint removes the older ones once it is in place.
"""

from __future__ import annotations

import csv
import io
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypedDict

import safetensors.torch
import torch
from torch import Tensor

from vision.errors import InputError
from vision.labels import check_label_names

FOLDER: Final = "checkpoints"
_PARTIAL: Final = ".partial"
UNREADABLE: Final = (
    *(OSError, EOFError, pickle.UnpicklingError),
    *(ValueError, RuntimeError, KeyError, TypeError, AttributeError),
)


class Best(TypedDict):
    """The best epoch so far: its score, thresholds and weights."""

    epoch: int
    score: float
    thresholds: list[float]
    weights: dict[str, Tensor]


class Checkpoint(TypedDict):
    """All that a run needs to go on as if it had not been stopped.

    There are no states of random generators: what is drawn in a step depends on the seed and the
    number of the step alone.
    """

    names: list[str]  # of the labels, in their order
    config: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any] | None
    progress: dict[str, Any]


def save_checkpoint(out: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint below a model's folder, then remove the older ones."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{checkpoint['progress']['step']:08}.pt"
    write_file(path, partial(torch.save, checkpoint))
    for old in folder.iterdir():
        if old != path and (old.suffix == _PARTIAL or old.name.startswith("step-")):
            old.unlink()
    return path


def latest_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint of a model's folder, if it has one."""
    return max((out / FOLDER).glob("step-*.pt"), default=None)


def read_checkpoint(out: Path, *, names: Sequence[str], config: dict[str, Any]) -> Checkpoint:
    """Read the newest checkpoint of a model's folder.

    Args:
        out: The model's folder.
        names: The labels of the dataset that training goes on with.
        config: The settings that must be those of the checkpoint.

    Raises:
        InputError: If there is none that can be read, or it is of another dataset or training.
    """
    path = latest_checkpoint(out)
    if path is None:
        raise InputError(f"{out} holds no checkpoint to resume from. Start without --resume.")
    try:
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if checkpoint.keys() != Checkpoint.__annotations__.keys():
            raise ValueError(f"it holds {', '.join(checkpoint)}")
    except UNREADABLE as error:
        raise unreadable(path) from error
    check_label_names(
        names,
        checkpoint["names"],
        what="The dataset",
        than=f"the checkpoint {path.name}",
        advice="Use the dataset it was trained on, or train a new model into another --out.",
    )
    _check_config(config, checkpoint["config"], path)
    return checkpoint


def unreadable(path: Path) -> InputError:
    """What to say of a checkpoint that training can't go on from."""
    return InputError(
        f"Can't read the checkpoint {path}; it is damaged or of another version. "
        "Delete it and start without --resume."
    )


def _check_config(config: dict[str, Any], expected: dict[str, Any], path: Path) -> None:
    changed = [name for name, value in config.items() if expected.get(name) != value]
    if changed:
        told = ", ".join(f"{n} {expected.get(n)} (now {config[n]})" for n in changed)
        raise InputError(
            f"The checkpoint {path} was trained with {told}. "
            "Resume with the same settings, or start anew with another --out."
        )


def check_vacant(out: Path) -> None:
    """Refuse to begin where a model or a checkpoint already is.

    Raises:
        InputError: If the folder holds one, or can't be written into.
    """
    taken = [name for name in ("config.json", "model.safetensors") if (out / name).exists()]
    if latest_checkpoint(out):
        raise InputError(
            f"{out} holds a training that was begun. Go on with --resume, or give another --out."
        )
    if taken:
        raise InputError(f"{out} holds a model already ({taken[0]}). Give another --out.")
    if (out / "README.md").exists():  # of a dataset, or a whole project
        raise InputError(
            f"{out} holds something else: its README.md would be lost. Give another --out."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"Can't write into {out}: {error.strerror}. Give another --out."
        ) from error


def publish(model: Any, best: Best, out: Path, parts: Iterable[Any] = ()) -> None:
    """Write the best model into its folder, for `from_pretrained`.

    Args:
        model: A `PreTrainedModel`; its config takes the thresholds.
        best: Its weights are written, not those the model has now.
        out: The model's folder.
        parts: What else is saved there, such as the image processor.
    """
    model.config.thresholds = best["thresholds"]
    write_model(model, best["weights"], out, parts)


def write_model(
    model: Any, weights: dict[str, Tensor], out: Path, parts: Iterable[Any] = ()
) -> None:
    """Write a model with these weights into its folder; see `publish`."""
    model.config.architectures = [type(model).__name__]
    # Not `model.save_pretrained`, which shows a bar, even where no one sees it.
    content = safetensors.torch.save(weights, metadata={"format": "pt"})
    write_file(out / "model.safetensors", lambda file: file.write(content))
    config = model.config.to_json_string().encode()
    write_file(out / "config.json", lambda file: file.write(config))
    for part in parts:
        part.save_pretrained(out)


def write_history(out: Path, history: Sequence[dict[str, float]]) -> None:
    """Write `history.csv`: one row for each epoch."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in history for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(out / "history.csv", text.getvalue())


def write_text(path: Path, text: str) -> None:
    """`write_file` for a text."""
    content = text.encode()
    write_file(path, lambda file: file.write(content))


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that is complete or absent, and survives a failure of the machine.

    Raises:
        InputError: If there is no room for it, or it can't be written.
    """
    scratch = path.with_name(path.name + _PARTIAL)
    try:
        with scratch.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch.save tells of a full disk by the latter
        with suppress(OSError):
            scratch.unlink()
        reason = getattr(error, "strerror", None) or "the disk may be full"
        raise InputError(
            f"Can't write {path}: {reason}. Make room; a training then goes on with --resume."
        ) from error
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)  # whose entries are what a rename changes
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
