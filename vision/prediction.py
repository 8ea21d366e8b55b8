"""Run a network over a dataset, and score what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vision.data import Batch, LesionData, load_batches
from vision.distributed import gather, rank, world_size
from vision.metrics import THRESHOLD_GRID, LabelScores, calibrate_thresholds, evaluate_labels
from vision.targets import Positives, targets_of


def predict(
    model: Any, data: LesionData, *, batch_size: int = 128, workers: int = 0
) -> dict[str, Tensor]:
    """What a network says of all lesions, in their order, on the CPU.

    Several processes share the lesions out, and each returns all.

    Args:
        model: A `LesaNetModel`.
        data: N lesions.
        batch_size: Lesions at a time, in each process.
        workers: Processes that load batches ahead.

    Returns:
        - probabilities: of the labels, from the refined scores. Shape: (N, C).
        - embeddings: of unit length. Shape: (N, D).
    """
    share = -(-len(data) // world_size())
    rows = [min(row, len(data) - 1) for row in range(share * rank(), share * (rank() + 1))]
    batches = [rows[start : start + batch_size] for start in range(0, share, batch_size)]
    was_training = model.training
    model.train(False)
    found = [_predict_batch(model, b) for b in load_batches(data, batches, workers=workers)]
    model.train(was_training)
    whole = [gather(torch.cat(parts))[: len(data)].cpu() for parts in zip(*found, strict=True)]
    return dict(zip(("probabilities", "embeddings"), whole, strict=True))


@torch.no_grad()
def _predict_batch(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    inputs = {name: batch[name].to(model.device) for name in ("pixel_values", "boxes_px")}
    output = model(**inputs)
    return output.refined_scores.sigmoid(), output.embeddings


def evaluate(
    model: Any,
    data: LesionData,
    *,
    thresholds: Tensor | None = None,
    grid: Sequence[float] = THRESHOLD_GRID,
    positives: Positives = "R",
    training_positives: Tensor | None = None,
    batch_size: int = 128,
    workers: int = 0,
) -> LabelScores:
    """Score a network on the lesions of a dataset that have a positive label.

    The others are left out, as in training and by the authors (of the 1,976 published validation
    lesions 1,852 remain): where a report says nothing of a lesion, not every label is wrong.

    Args:
        model: A `LesaNetModel`.
        data: The lesions with their label lists.
        thresholds: From which probability each label is predicted. By default those that are best
            for the same lesions, as the authors do on the validation part. Shape: (C,).
        grid: The thresholds to try where none are given.
        positives: Which label lists count as positive: R, RU or RUI.
        training_positives: How often each label is positive in the training part, for averages
            by frequency. Shape: (C,).
        batch_size: Lesions at a time, in each process.
        workers: Processes that load batches ahead.
    """
    probabilities = predict(model, data, batch_size=batch_size, workers=workers)["probabilities"]
    targets = targets_of(
        data.relevant, data.uncertain, data.irrelevant, data.space, positives=positives
    )
    told = targets.positive.any(dim=1)
    probabilities, targets = probabilities[told], targets[told]
    if thresholds is None:
        thresholds = calibrate_thresholds(probabilities, targets, grid=grid)
    return evaluate_labels(
        probabilities,
        targets.positive,
        targets.known,
        thresholds,
        data.space,
        training_positives=training_positives,
    )
