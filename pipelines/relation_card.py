"""What a trained relation model's folder tells of it: a card, and the curve of its learning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nlp.records import RELATIONS
from nlp.store import replace_file
from pipelines.rendering import render

if TYPE_CHECKING:
    from pipelines.relations import TrainRelationsConfig

_KINDS: Final = {
    "cnn": "A convolutional network after Yan et al. 2019 (LesaNet), section 3.2",
    "cnn-attention": "A convolutional network with self-attention after Peng et al. 2019",
    "transformer": "A pretrained encoder with entity markers after Zhou and Chen 2022",
}


def write_card(
    folder: Path, scores: dict[str, Any], temperature: float, config: TrainRelationsConfig
) -> None:
    """Write `README.md` and `learning_curve.png`.

    Args:
        folder: The model's.
        scores: As `train_relations` returns them.
        temperature: Of the calibration.
        config: What was trained.
    """
    shipped = ["the sentences that ship with lesionary"] if config.shipped else []
    card = render(
        "relation_card.md",
        kinds=_KINDS,
        config=config,
        epochs=len(scores["curve"]),
        trained_on=", ".join([*shipped, *(p.name for p in config.corpora)]),
        validated_on=", ".join(p.name for p in config.validation),
        scores=scores,
        temperature=temperature,
        relations=list(RELATIONS),
    )
    replace_file(folder / "README.md", card)
    draw_curve(scores["curve"], folder / "learning_curve.png")


def draw_curve(curve: Sequence[dict[str, float]], path: Path) -> None:
    """Draw the losses and the validation macro-F1 of each epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    losses, score = figure.subplots(1, 2)
    epochs = [f["epoch"] for f in curve]
    for name, label in (("loss", "training"), ("validation_loss", "validation")):
        losses.plot(epochs, [f[name] for f in curve], label=label)
    losses.set(xlabel="epoch", ylabel="cross-entropy")
    losses.legend()
    score.plot(epochs, [f["validation_macro_f1"] for f in curve])
    score.set(xlabel="epoch", ylabel="macro-F1, validation")
    figure.savefig(path, dpi=100)
