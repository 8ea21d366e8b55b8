"""Train LesaNet on a lesion dataset, score it, and ask it about a lesion."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.lesanet_card import write_card
from vision.errors import InputError
from vision.recipe import TrainConfig
from vision.run_folder import write_text

__all__ = [
    "TrainConfig",
    "TrainLesanetConfig",
    "convert_lesanet",
    "evaluate_lesanet",
    "predict_lesion",
    "train_lesanet",
]

if TYPE_CHECKING:
    from torch import Tensor

    from vision.data import LesionDataset
    from vision.images import Patch
    from vision.lesanet import LesaNetModel

Say = Callable[[str], None]
_UNCALIBRATED = 0.5


@dataclass(frozen=True, kw_only=True)
class TrainLesanetConfig:
    """What to train, on which lesions.

    Attributes:
        dataset: A lesion dataset, made by `pipelines.lesions`.
        out: The model's folder.
        training: The recipe.
        resume: Go on from the last checkpoint in `out`.
    """

    dataset: Path
    out: Path
    training: TrainConfig = field(default_factory=TrainConfig)
    resume: bool = False


def train_lesanet(config: TrainLesanetConfig, *, say: Say = print) -> dict[str, Any]:
    """Train a network and write its folder: weights, configuration, history, figures, card.

    Args:
        config: See there.
        say: Takes a line on each epoch.

    Returns:
        The scores on the validation lesions, as `evaluate_lesanet` gives them, and `history`, the
        figures of the epochs.

    Raises:
        InputError: If the dataset can't be read, the folder can't be used, or training diverges.
    """
    import torch
    from accelerate import PartialState

    from vision.data import LesionDataset
    from vision.drawing import draw_curves
    from vision.lesanet import LesaNetConfig, LesaNetModel
    from vision.processing import LesaNetImageProcessor
    from vision.training import fit

    first = PartialState().is_main_process  # of the processes that torchrun started
    say = say if first else _silent
    lessons, checks = (LesionDataset(config.dataset, s) for s in ("train", "validation"))
    recipe = config.training
    torch.manual_seed(recipe.seed)
    settings = LesaNetConfig.from_labels(
        lessons.space, backbone=recipe.backbone, propagation=recipe.loss.propagated > 0
    )
    model: Any = LesaNetModel(settings)
    say(
        f"Training {recipe.backbone} on {len(lessons):,} lesions, validating on {len(checks):,}, "
        f"{len(lessons.space)} labels."
    )
    history = fit(
        model,
        lessons,
        checks,
        recipe,
        config.out,
        resume=config.resume,
        save_also=[LesaNetImageProcessor.from_config(settings)],
        say=lambda figures: say(_line(figures)),
    )
    result = _score(model, checks, lessons)
    result |= {"training_lesions": len(lessons), "config": asdict(recipe), "history": history}
    if first:
        write_text(config.out / "metrics.json", json.dumps(result, indent=1) + "\n")
        draw_curves(history, config.out / "training_curves.png")
        write_card(config.out, result, config.dataset.name)
    return result


def evaluate_lesanet(model: Path, dataset: Path, *, split: str = "test") -> dict[str, Any]:
    """Score a trained network on a split of a lesion dataset.

    Returns:
        `vision.scores.LabelScores.to_json`.

    Raises:
        InputError: If the model or dataset can't be read, or they have other labels.
    """
    from vision.data import LesionDataset
    from vision.lesanet import check_labels, load_model

    network: Any = load_model(model)
    lesions = LesionDataset(dataset, split)
    check_labels(network.config, lesions.space.names)
    try:
        training = LesionDataset(dataset, "train")
    except InputError:  # a dataset for testing alone
        training = None
    return _score(network, lesions, training)


def _score(
    model: LesaNetModel, lesions: LesionDataset, training: LesionDataset | None
) -> dict[str, Any]:
    """The scores of a network, its labels' frequencies counted in the training lesions."""
    import torch

    from vision.prediction import evaluate
    from vision.targets import targets_of

    frequencies = None
    if training is not None:
        learned = targets_of(
            training.relevant, training.uncertain, training.irrelevant, training.space
        )
        frequencies = learned.positive.sum(0)
    thresholds = torch.tensor(_thresholds(model), dtype=torch.float64)
    return evaluate(model, lesions, thresholds=thresholds, training_positives=frequencies).to_json()


def _thresholds(model: LesaNetModel) -> list[float]:
    """The calibrated thresholds, or a half for each label where there are none."""
    config = model.config
    return config.thresholds or [_UNCALIBRATED] * len(config.label_names)


def predict_lesion(
    model: Path,
    image: Path,
    *,
    box_px: Sequence[float],
    slice_index: int | None = None,
    spacing_mm: Sequence[float] | None = None,
    picture: Path | None = None,
) -> dict[str, Any]:
    """Ask a network about a lesion in an image.

    Args:
        model: The model's folder.
        image: PNG, NIfTI, DICOM file or series folder; see `vision.readers.open_image`.
        box_px: The lesion: x0, y0, x1, y1 in pixels of the slice in radiological view.
        slice_index: The lesion's slice; by default the one that `image` itself names.
        spacing_mm: x, y and slice interval, for a format that holds none.
        picture: Where to draw the patch with its box and labels.

    Returns:
        - labels: `term`, `score`, `threshold`, `positive` of each label, the surest first. A
          predicted label brings its ancestors along.
        - embedding: for retrieval.

    Raises:
        InputError: If model, image, slice or box can't be used.
    """
    from vision.drawing import draw_patch
    from vision.images import lesion_patch
    from vision.lesanet import load_model
    from vision.readers import open_image

    network: Any = load_model(model)
    stack = open_image(image, spacing_mm=spacing_mm)
    key = stack.key_slice if slice_index is None else slice_index
    if key is None:
        raise InputError(
            f"{image} holds slices {min(stack.slice_indices)} to {max(stack.slice_indices)}: say "
            "with --slice in which of them the lesion is."
        )
    patch = lesion_patch(stack, key, box_px)
    labels, embedding = _ask(network, patch)
    if picture is not None:
        shown = [(label["term"], label["score"], label["positive"]) for label in labels]
        draw_patch(patch.pixels, patch.box_px, shown, picture)
    return {"labels": labels, "embedding": embedding, "slice": key}


def _ask(network: Any, patch: Patch) -> tuple[list[dict[str, Any]], list[float]]:
    import torch

    from vision.metrics import predict_labels
    from vision.processing import LesaNetImageProcessor

    inputs = LesaNetImageProcessor.from_config(network.config)(patch.pixels)
    with torch.inference_mode():
        output = network(inputs["pixel_values"], torch.tensor([patch.box_px]))
    thresholds = _thresholds(network)
    scores: Tensor = output.refined_scores.sigmoid()
    predicted = predict_labels(scores, torch.tensor(thresholds))
    if network.config.label_classes:  # a converted checkpoint may not know how labels relate
        predicted = network.config.labels.expand(predicted)
    columns = (network.config.label_names, scores[0].tolist(), thresholds, predicted[0].tolist())
    labels = [
        {"term": term, "score": score, "threshold": threshold, "positive": positive}
        for term, score, threshold, positive in zip(*columns, strict=True)
    ]
    labels.sort(key=lambda label: (-label["positive"], -label["score"]))
    return labels, output.embeddings[0].tolist()


def convert_lesanet(checkpoint: Path, out: Path, *, ontology: Path | None = None) -> Path:
    """Turn the authors' checkpoint into a model's folder.

    The scores of the published checkpoint follow the labels of the shipped label table.

    Raises:
        InputError: If the checkpoint or table can't be read, or they have other labels, or the
            folder holds a model already.
    """
    from nlp.ontology import Ontology
    from nlp.store import label_space
    from vision.checkpoint import convert_checkpoint
    from vision.labels import LabelSpace
    from vision.processing import LesaNetImageProcessor
    from vision.run_folder import check_vacant

    check_vacant(out)
    table = Ontology.from_csv(ontology)
    space = LabelSpace.from_content(label_space(table), source=table.source)
    model: Any = convert_checkpoint(checkpoint, space)
    model.save_pretrained(out)
    LesaNetImageProcessor.from_config(model.config).save_pretrained(out)
    return out


def _silent(message: str) -> None:
    """What the other processes say."""


def _line(figures: dict[str, float]) -> str:
    terms = ", ".join(
        f"{name} {figures[name]:.3f}"
        for name in ("weighted_bce", "hard_examples", "triplets", "propagated")
        if name in figures
    )
    return (
        f"epoch {figures['epoch']:3.0f}  loss {figures['total']:.3f} ({terms})  validation "
        f"AUC {figures['validation_auc']:.3f}, F1 {figures['validation_f1']:.3f}  "
        f"{figures['seconds']:.0f} s"
    )
