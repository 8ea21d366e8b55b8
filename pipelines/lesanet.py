"""Train LesaNet on a lesion dataset, score it, and ask it about a lesion."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
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
    "read_gold",
    "train_lesanet",
]

if TYPE_CHECKING:
    from torch import Tensor

    from vision.data import LesionDataset
    from vision.images import Patch

Say = Callable[[str], None]
_UNCALIBRATED = 0.5
_NO_TERMS = ("epoch", "steps", "learning_rate", "total", "seconds")


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
        figures of the epochs, None where no label could be scored.

    Raises:
        InputError: If the dataset can't be read, the folder can't be used, or training diverges.
    """
    import torch
    from accelerate import PartialState

    from vision.data import LesionDataset
    from vision.distributed import rank
    from vision.drawing import draw_curves
    from vision.learner import make_lessons
    from vision.lesanet import LesaNetConfig, LesaNetModel
    from vision.methods import network_settings
    from vision.processing import LesaNetImageProcessor
    from vision.training import fit

    PartialState()  # lets the processes that torchrun started meet; on a CPU it doesn't count them
    first = rank() == 0
    say = say if first else _silent
    lessons, checks = (LesionDataset(config.dataset, s) for s in ("train", "validation"))
    recipe = config.training
    learned = len(make_lessons(lessons, recipe).rows)  # those with a positive label
    torch.manual_seed(recipe.seed)
    settings = LesaNetConfig.from_labels(lessons.space, **network_settings(recipe, learned))
    model: Any = LesaNetModel(settings)
    say(
        f"Training {recipe.backbone} on {learned:,} lesions, validating on {len(checks):,}, "
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
    shown = [_without_nan(figures) for figures in history]
    result |= {"training_lesions": learned, "config": asdict(recipe), "history": shown}
    if first:
        text = json.dumps(result, indent=1, allow_nan=False) + "\n"
        write_text(config.out / "metrics.json", text)
        draw_curves(history, config.out / "training_curves.png")
        write_card(config.out, result, config.dataset.name)
    return result


def evaluate_lesanet(
    model: Path, dataset: Path, *, split: str = "test", gold: Path | None = None
) -> dict[str, Any]:
    """Score a trained network on a split of a lesion dataset.

    Args:
        model: The model's folder.
        dataset: A lesion dataset with the model's labels.
        split: Which of its lesions.
        gold: A CSV with `lesion_id` and `labels`, joined with "|": what is so, instead of what the
            reports were found to say. Lesions that it does not name are left out.

    Returns:
        `vision.scores.LabelScores.to_json`.

    Raises:
        InputError: If the model, dataset or table can't be read, or they have other labels.
    """
    import torch

    from vision.data import LesionDataset
    from vision.lesanet import check_labels, load_model

    network: Any = load_model(model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    lesions = LesionDataset(dataset, split)
    check_labels(network.config, lesions.space.names)
    truth = None if gold is None else read_gold(gold)
    try:
        training = LesionDataset(dataset, "train")
    except InputError:  # a dataset for testing alone
        training = None
    return _score(network, lesions, training, truth)


def read_gold(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the labels of lesions from a CSV with `lesion_id` and `labels`, joined with "|".

    Raises:
        InputError: If the file or a column can't be read.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["lesion_id", "labels"])
    except (OSError, ValueError) as error:
        raise InputError(
            f"Can't read {path} as a CSV with the columns lesion_id and labels: {error}."
        ) from error
    rows = zip(table["lesion_id"], table["labels"], strict=True)
    return {lesion: tuple(map(str.strip, labels.split("|"))) for lesion, labels in rows}


def _score(
    model: Any,
    lesions: LesionDataset,
    training: LesionDataset | None,
    truth: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The scores of a network, its labels' frequencies counted in the training lesions."""
    import torch

    from vision.metrics import evaluate_labels
    from vision.prediction import evaluate, predict

    frequencies = None if training is None else label_frequencies(training)
    thresholds = torch.tensor(thresholds_of(model), dtype=torch.float64)
    if truth is None:
        scores = evaluate(model, lesions, thresholds=thresholds, training_positives=frequencies)
        return scores.to_json()
    rows, positive = gold_positives(truth, lesions)
    return evaluate_labels(
        predict(model, lesions)["probabilities"][rows],
        positive,
        torch.ones_like(positive),
        thresholds,
        lesions.space,
        training_positives=frequencies,
    ).to_json()


def gold_positives(
    truth: Mapping[str, Sequence[str]], lesions: LesionDataset
) -> tuple[list[int], Tensor]:
    """The lesions of a split that the table with the gold labels names, and what holds for them.

    Returns:
        - rows: Their numbers in the split. Length: N.
        - positive: Their gold labels and all that lies above them. Shape: (N, C), bool.

    Raises:
        InputError: If the table names none of them.
    """
    import torch

    rows = [i for i, lesion in enumerate(lesions.lesion_ids) if lesion in truth]
    if not rows:
        raise InputError("The table with the gold labels names none of the split's lesions.")
    stated = [set(truth[lesions.lesion_ids[i]]) for i in rows]
    held = torch.tensor([[name in labels for name in lesions.space.names] for labels in stated])
    return rows, lesions.space.expand(held)


def label_frequencies(training: LesionDataset) -> Tensor:
    """In how many of the lesions each label counts as positive when it is learned. Shape: (C,)."""
    from vision.targets import targets_of

    learned = targets_of(training.relevant, training.uncertain, training.irrelevant, training.space)
    return learned.positive.sum(0)


def thresholds_of(model: Any) -> list[float]:
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
        InputError: If model, image, slice or box can't be used, or the picture not be written.
    """
    from vision.images import lesion_patch
    from vision.lesanet import load_model
    from vision.readers import open_image

    if picture is not None:
        _check_picture(picture, image)
    network: Any = load_model(model)
    stack = open_image(image, spacing_mm=spacing_mm)
    key = stack.key_slice if slice_index is None else slice_index
    if key is None:
        raise InputError(
            f"{image} holds slices {min(stack.slice_indices)} to {max(stack.slice_indices)}: say "
            "with --slice in which of them the lesion is."
        )
    try:
        patch = lesion_patch(stack, key, box_px, **_geometry(network.config))
    except InputError as error:  # what is wrong with box, slice or spacing names no file
        raise InputError(_naming(image, str(error))) from error
    labels, embedding = _ask(network, patch)
    if picture is not None:
        _draw(patch, labels, picture)
    return {"labels": labels, "embedding": embedding, "slice": key}


def _geometry(config: Any) -> dict[str, Any]:
    """How the patches were cut that the network learned from."""
    return {
        "size_px": config.patch_size_px,
        "mm_per_px": config.mm_per_px,
        "slice_step_mm": config.slice_step_mm,
        "window": tuple(config.window_hu),
    }


def _check_picture(picture: Path, image: Path) -> None:
    """Refuse to draw over the image, or into a folder that isn't there."""
    if picture.exists() and image.exists() and picture.samefile(image):
        raise InputError(f"The picture would be drawn over {image}. Give another --picture.")
    if not picture.parent.is_dir():
        raise InputError(f"There is no folder {picture.parent} to draw {picture.name} into.")


def _naming(image: Path, message: str) -> str:
    return message if str(image) in message else f"{image}: {message}"


def _draw(patch: Patch, labels: Sequence[dict[str, Any]], picture: Path) -> None:
    from vision.drawing import draw_patch

    shown = [(label["term"], label["score"], label["positive"]) for label in labels]
    try:
        draw_patch(patch.pixels, patch.box_px, shown, picture)
    except OSError as error:
        raise InputError(
            f"Can't write {picture}: {error.strerror or error}. Give another --picture."
        ) from error


def _ask(network: Any, patch: Patch) -> tuple[list[dict[str, Any]], list[float]]:
    import torch

    from vision.metrics import predict_labels
    from vision.processing import LesaNetImageProcessor

    inputs = LesaNetImageProcessor.from_config(network.config)(patch.pixels)
    with torch.inference_mode():
        output = network(inputs["pixel_values"], torch.tensor([patch.box_px]))
    thresholds = thresholds_of(network)
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
    from vision.run_folder import check_vacant, write_model

    table = Ontology.from_csv(ontology)
    space = LabelSpace.from_content(label_space(table), source=table.source)
    model: Any = convert_checkpoint(checkpoint, space)
    check_vacant(out)
    write_model(model, model.state_dict(), out, [LesaNetImageProcessor.from_config(model.config)])
    return out


def _silent(message: str) -> None:
    """What the other processes say."""


def _without_nan(figures: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def _line(figures: dict[str, float]) -> str:
    terms = ", ".join(
        f"{name} {value:.3f}"
        for name, value in figures.items()
        if name not in _NO_TERMS and not name.startswith("validation_")
    )
    auc, f1 = (
        "-" if math.isnan(value) else f"{value:.3f}"
        for value in (figures["validation_auc"], figures["validation_f1"])
    )
    return (
        f"epoch {figures['epoch']:3.0f}  loss {figures['total']:.3f} ({terms})  validation "
        f"AUC {auc}, F1 {f1}  {figures['seconds']:.0f} s"
    )
