"""Train relation models on annotated sentences."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nlp.errors import InputError
from nlp.ontology import Ontology
from nlp.relations import model_module
from nlp.relations.corpus import CORPUS_FOLDER, read_corpora
from nlp.store import replace_file
from pipelines.evaluation import score_passages
from pipelines.relation_card import write_card

if TYPE_CHECKING:
    from nlp.relations.training import Example

HELD_OUT: Final = tuple(sorted(CORPUS_FOLDER.glob("validation*.txt")))


@dataclass(frozen=True, kw_only=True)
class TrainRelationsConfig:
    """What to train, and on which annotated sentences.

    Attributes:
        out: The model's folder.
        corpora: Files or folders of annotated sentences, beside those that ship.
        shipped: Whether to train on the sentences that ship.
        weight: How much a pair of `corpora` counts, against 1 for a pair that ships.
        validation: Sentences that choose the epoch, the temperature and the thresholds; none means
            the shipped validation batches, which are never trained on.
        model: One of `RELATION_MODELS` that learns.
        encoder: A folder of `transformers`, for the model "transformer".
        sentence_embedding: Nothing, "tfidf", or a path; see `nlp.relations.sentences`.
        seed: Of weights, order and augmentation.
        epochs: Instead of the model's own number.
    """

    out: Path
    corpora: tuple[Path, ...] = ()
    shipped: bool = True
    weight: float = 1.0
    validation: tuple[Path, ...] = HELD_OUT
    model: str = "cnn"
    encoder: Path | None = None
    sentence_embedding: str | None = None
    seed: int = 0
    epochs: int | None = None


def train_relations(
    config: TrainRelationsConfig, *, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train a relation model and write its folder: weights, configuration, figures, card.

    Args:
        config: See there.
        say: Takes a line on each epoch.

    Returns:
        The scores on the validation sentences, as `evaluate_relations` gives them, and `curve`.

    Raises:
        InputError: If a corpus, encoder or embedding can't be read, or the model does not learn.
    """
    import torch

    from nlp.relations import training

    module = model_module(config.model)
    if not hasattr(module, "create"):
        raise InputError(f"The relation model '{config.model}' does not learn.")
    say("Reading the annotated sentences ...")
    ontology = Ontology.from_csv()
    validation = read_corpora(config.validation)
    checks = training.make_examples(validation, ontology)
    examples = _training_examples(config, ontology)
    how = training.TrainConfig(**getattr(module, "TRAINING", {}), seed=config.seed)
    how = replace(how, epochs=config.epochs or how.epochs)
    say(f"Training {config.model} on {len(examples):,} sentences, validating on {len(checks):,}.")
    torch.manual_seed(config.seed)
    network = module.create(
        [e.encoded for e in examples],
        encoder=config.encoder,
        sentence_embedding=config.sentence_embedding,
    )
    _make_folder(config.out)  # before minutes of training, not after
    curve = training.train(network, examples, checks, ontology, how, lambda f: say(_line(f)))
    network.save(config.out)
    result = score_passages(validation, str(config.out))
    result["rules_macro_f1"] = score_passages(validation, "rules")["macro_f1"]
    result["training_sentences"] = len(examples)
    result["config"] = {**asdict(how), **_plain(config)}
    result["curve"] = curve
    replace_file(config.out / "metrics.json", json.dumps(result, indent=1) + "\n")
    write_card(config.out, result, network.config.calibration_temperature, config)
    return result


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"Can't write into {path}: {error.strerror}. Give another --out."
        ) from error


def _training_examples(config: TrainRelationsConfig, ontology: Ontology) -> list[Example]:
    """The sentences to learn from; those of the user's corpora carry their weight."""
    from nlp.relations.training import make_examples

    held_out = {*HELD_OUT, *config.validation}
    examples = []
    if config.shipped:
        examples += make_examples(read_corpora([CORPUS_FOLDER], without=held_out), ontology)
    if config.corpora:
        passages = read_corpora(config.corpora, without=held_out)
        examples += make_examples(passages, ontology, weight=config.weight)
    if not examples:
        raise InputError("There is nothing to train on: give a corpus, or keep what ships.")
    return examples


def _line(figures: dict[str, float]) -> str:
    return (
        f"epoch {figures['epoch']:3}  loss {figures['loss']:.3f}  validation "
        f"loss {figures['validation_loss']:.3f}, macro-F1 {figures['validation_macro_f1']:.3f}"
    )


def _plain(config: TrainRelationsConfig) -> dict[str, Any]:
    """The configuration for the model's folder: names of files, since paths may tell too much."""
    named = {"corpora": [p.name for p in config.corpora]}
    named["validation"] = [p.name for p in config.validation]
    return {
        "model": config.model,
        "shipped": config.shipped,
        "weight": config.weight,
        "sentence_embedding": config.sentence_embedding,
        **named,
    }
