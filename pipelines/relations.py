"""Train relation models on annotated sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from nlp.errors import InputError
from nlp.records import RELATIONS
from nlp.relations.corpus import CORPUS_FOLDER, read_corpora
from nlp.store import replace_file
from pipelines.evaluation import score_passages

HELD_OUT: Final = tuple(sorted(CORPUS_FOLDER.glob("validation*.txt")))


def train_relations(
    corpora: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train the CNN and write its folder: weights, configuration, metrics, card.

    The shipped validation batches are never trained on; they choose the epoch and the temperature.

    Args:
        corpora: Files or folders; none means the sentences that ship.
        out: The model's folder.
        seed: Of weights, order and augmentation.
        epochs: Instead of the default number.
        say: Takes a line on each epoch.

    Raises:
        InputError: If a corpus can't be read.
    """
    from nlp.ontology import Ontology
    from nlp.relations import training
    from nlp.relations.cnn import CnnModel

    passages = read_corpora(corpora or [CORPUS_FOLDER], without=HELD_OUT)
    validation = read_corpora(HELD_OUT)
    ontology = Ontology.from_csv()
    config = training.TrainConfig(seed=seed)
    config = replace(config, epochs=epochs or config.epochs)
    examples = training.make_examples(passages, ontology)
    checks = training.make_examples(validation, ontology)
    say(f"Training on {len(examples):,} sentences, validating on {len(checks):,}.")
    best, curve, weights = -1.0, [], {}
    model: CnnModel | None = None
    for model, figures in training.train(examples, checks, ontology, config):
        curve.append(figures)
        say(
            f"epoch {figures['epoch'] + 1:3.0f}  loss {figures['loss']:.3f}  "
            f"validation macro-F1 {figures['validation_macro_f1']:.3f}"
        )
        if figures["validation_macro_f1"] > best:
            best = figures["validation_macro_f1"]
            weights = {k: v.clone() for k, v in model.network.state_dict().items()}
    if model is None:
        raise InputError("Nothing was trained: give at least one epoch.")
    model.network.load_state_dict(weights)
    model.network.config.calibration_temperature = training.fit_temperature(model, checks)
    model.save(out)
    result = score_passages(validation, str(out))
    result["rules_macro_f1"] = score_passages(validation, "rules")["macro_f1"]
    result["training_sentences"] = len(examples)
    result["config"] = asdict(config)
    replace_file(out / "metrics.json", json.dumps({**result, "curve": curve}, indent=1) + "\n")
    replace_file(
        out / "README.md", _card(result, model.network.config.calibration_temperature, corpora)
    )
    return result


def _card(result: dict[str, Any], temperature: float, corpora: Sequence[Path]) -> str:
    """The model card."""
    rows = "\n".join(
        f"| {name} | {s['precision']:.3f} | {s['recall']:.3f} | {s['f1']:.3f} |"
        for name in (*RELATIONS, "relevant_or_uncertain")
        for s in [result[name]]
    )
    low, high = result["macro_f1_95"]
    trained_on = ", ".join(p.name for p in corpora) or "the sentences that ship with lesionary"
    return f"""---
library_name: lesionary
tags: [radiology, relation-extraction]
---

# Relation classifier: which label belongs to which bookmark

A convolutional network after Yan et al. 2019 (LesaNet), section 3.2: relevant, uncertain or
irrelevant for every label mention and bookmark of a report's sentence. Made by lesionary
{version("lesionary")} with `lesionary relations train`, seed {result["config"]["seed"]}.

**Trained on** {trained_on}: {result["training_sentences"]:,} sentences. Those that ship were
written and annotated for the project by a language model, and no radiologist has read them; no
patient's report is among them. Expect errors on the manner of your own house, and correct them.

**Scores** on the {result["sentences"]:,} validation sentences ({result["pairs"]:,} pairs), which
were written for the project too and chose the epoch and the temperature ({temperature:.2f}), so
they flatter: macro-F1 {result["macro_f1"]:.3f} (95 % {low:.3f} to {high:.3f}); the rules reach
{result["rules_macro_f1"]:.3f}.

| | precision | recall | F1 |
| --- | ---: | ---: | ---: |
{rows}
"""
