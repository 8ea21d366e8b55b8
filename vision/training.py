"""Train the lesion annotation network, in one process or in several.

The losses couple all lesions of a batch, so the loop is written out; `accelerate` brings device,
mixed precision and the processes that `torchrun` or `accelerate launch` started. The recipe is in
`vision.recipe`, a step in `vision.learner`, what a run leaves on disk in `vision.run_folder`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from vision import run_folder
from vision.data import LesionData, load_batches
from vision.distributed import rank, world_size
from vision.labels import check_label_names
from vision.learner import Learner, Lessons, make_learner, make_lessons, train_step
from vision.lesanet import check_labels
from vision.methods import method_of
from vision.prediction import evaluate, predict
from vision.recipe import (
    TrainConfig,
    epoch_batches,
    learning_rate,
    set_learning_rate,
    steps_per_epoch,
)
from vision.run_folder import Best, Checkpoint

__all__ = ["TrainConfig", "evaluate", "fit", "predict", "train_one_epoch"]

_MAY_CHANGE: Final = {"learning_rate", "checkpoint_steps", "workers", "mixed_precision"}


@dataclass(kw_only=True)
class Progress:
    """How far a run has come: steps done, loss terms summed over this epoch's, epochs done."""

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: Best | None = None


def fit(
    model: Any,
    train_data: LesionData,
    validation_data: LesionData,
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    save_also: Sequence[Any] = (),
    say: Callable[[dict[str, float]], None] = lambda figures: None,
) -> list[dict[str, float]]:
    """Train a network; what remains is the epoch that is best on the validation lesions.

    That is the one with the highest mean F1 of the labels, each with the threshold that is best
    for it on the same lesions. What is drawn in a step depends on the seed and the step's number
    alone, so a run that was stopped goes on as if it had not been.

    Args:
        model: A `LesaNetModel`; trained in place.
        train_data: The lesions to learn from; those without a positive label are left out.
        validation_data: The lesions that choose the epoch and the thresholds.
        config: See there.
        out: The model's folder: `config.json`, `model.safetensors`, `history.csv`, and in
            `checkpoints` what a run goes on from.
        resume: Go on from the checkpoint in `out`. The weights become those of a run that was not
            stopped, if machine and number of threads are the same.
        save_also: What is saved beside the model, such as the image processor.
        say: Takes the figures of each epoch.

    Returns:
        The figures of the epochs: `epoch`, `steps`, `learning_rate`, the mean of each loss term,
        `validation_f1`, `validation_auc` and `seconds`.

    Raises:
        InputError: If data, folder or checkpoint do not fit, or the training diverges.
    """
    names = train_data.space.names
    check_labels(model.config, names)
    check_label_names(
        validation_data.space.names,
        names,
        what="The validation part",
        than="the training part",
        advice="Take both from one dataset.",
    )
    lessons = make_lessons(train_data, config)
    if resume:
        checkpoint = run_folder.read_checkpoint(out, names=names, config=_must_match(config))
    else:
        run_folder.check_vacant(out)
    learner = make_learner(model, lessons, config)
    progress = _restore(learner, checkpoint, out) if resume else Progress()

    def save() -> None:
        if rank() == 0:
            run_folder.save_checkpoint(out, _checkpoint(learner, progress, names))

    def publish() -> None:
        if rank() == 0 and progress.best:
            run_folder.write_history(out, progress.history)
            run_folder.publish(model, progress.best, out, save_also)

    publish()  # a run may have been stopped before it could
    with _bar(config.epochs * steps_per_epoch(len(lessons.rows), config), progress.step) as bar:
        while len(progress.history) < config.epochs:
            train_one_epoch(learner, lessons, progress, save=save, bar=bar)
            end_epoch(learner, lessons, validation_data, progress)
            save()
            publish()
            if rank() == 0:
                say(progress.history[-1])
    learner.accelerator.wait_for_everyone()
    if progress.best:
        model.load_state_dict(progress.best["weights"])
        model.config.thresholds = progress.best["thresholds"]
    model.train(False)
    return progress.history


def train_one_epoch(
    learner: Learner,
    lessons: Lessons,
    progress: Progress,
    *,
    save: Callable[[], None] = lambda: None,
    bar: Any = None,
) -> None:
    """Train the steps of an epoch that are still to be done.

    Args:
        learner: See there.
        lessons: See there.
        progress: Counts the steps and sums the loss terms.
        save: Called every `checkpoint_steps` steps.
        bar: A progress bar that shows the terms.

    Raises:
        InputError: If the training diverges.
    """
    config, epoch = learner.config, len(progress.history)
    batches = epoch_batches(lessons.rows, config, epoch, multiple_of=world_size())
    todo = batches[progress.step - epoch * len(batches) :]
    parts = [_part(batch) for batch in todo]
    set_learning_rate(learner.optimizer, learning_rate(config, epoch))
    learner.model.train()
    started = time.monotonic() - progress.seconds
    loaded = load_batches(lessons.data, parts, workers=config.workers)
    for rows, inputs in zip(todo, loaded, strict=True):
        terms = train_step(learner, inputs, lessons.targets[rows], progress.step, epoch=epoch)
        progress.step += 1
        for name, value in terms.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.seconds = time.monotonic() - started
        if bar is not None:
            bar.set_postfix({name: f"{value:.3f}" for name, value in terms.items()}, refresh=False)
            bar.update()
        if config.checkpoint_steps and progress.step % config.checkpoint_steps == 0:
            save()


def _part(batch: Sequence[int]) -> Sequence[int]:
    """The lesions of a batch that this process takes."""
    size = len(batch) // world_size()
    return batch[size * rank() : size * (rank() + 1)]


def end_epoch(learner: Learner, lessons: Lessons, data: LesionData, progress: Progress) -> None:
    """Score an epoch on the validation lesions, write it into the history, and keep the best."""
    config, epoch = learner.config, len(progress.history)
    started = time.monotonic()
    size = max(config.batch_size // world_size(), 1)
    if learner.model.config.memory_size:
        known = predict(learner.model, lessons.data, batch_size=size, workers=config.workers)
        learned = known["embeddings"][lessons.rows]
        learner.model.classifier.remember(learned, lessons.targets[lessons.rows])
    grid = method_of(config).thresholds
    scores = evaluate(learner.model, data, grid=grid, batch_size=size, workers=config.workers)
    f1, auc = (_number(scores.averages[name]) for name in ("f1", "auc"))
    steps = progress.step // (epoch + 1)
    progress.history.append(
        {
            "epoch": epoch + 1,
            "steps": steps,
            "learning_rate": learning_rate(config, epoch),
            **{name: total / steps for name, total in progress.sums.items()},
            "validation_f1": f1,
            "validation_auc": auc,
            "seconds": round(progress.seconds + time.monotonic() - started, 2),
        }
    )
    progress.sums, progress.seconds = {}, 0.0
    if progress.best is None or not progress.best["score"] >= f1:  # NaN: keep the last
        progress.best = Best(
            epoch=epoch + 1,
            score=f1,
            thresholds=scores.table["threshold"].tolist(),
            weights={k: v.detach().cpu().clone() for k, v in learner.model.state_dict().items()},
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _checkpoint(learner: Learner, progress: Progress, names: Sequence[str]) -> Checkpoint:
    scaler = learner.accelerator.scaler
    return Checkpoint(
        names=list(names),
        config=_must_match(learner.config),
        weights=learner.model.state_dict(),
        optimizer=learner.optimizer.state_dict(),
        scaler=scaler.state_dict() if scaler else None,
        progress=vars(progress),
    )


def _restore(learner: Learner, checkpoint: Checkpoint, out: Path) -> Progress:
    try:
        learner.model.load_state_dict(checkpoint["weights"])
        learner.optimizer.load_state_dict(checkpoint["optimizer"])
        if learner.accelerator.scaler and checkpoint["scaler"]:
            learner.accelerator.scaler.load_state_dict(checkpoint["scaler"])
        return Progress(**checkpoint["progress"])
    except run_folder.UNREADABLE as error:  # of a network that had other layers
        raise run_folder.unreadable(run_folder.latest_checkpoint(out) or out) from error


def _must_match(config: TrainConfig) -> dict[str, Any]:
    """The settings that a run which goes on may not change."""
    return {name: value for name, value in asdict(config).items() if name not in _MAY_CHANGE}


def _bar(total: int, done: int) -> tqdm[Any]:
    """A progress bar over the steps, where a person can see it."""
    off = True if rank() else None
    return tqdm(total=total, initial=done, desc="Training", leave=False, disable=off)
