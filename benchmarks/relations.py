"""What each part of the relation classifier is worth: train variants, score them on a gold file.

    python benchmarks/relations.py [GOLD...] [--variants NAME...] [--seeds 0 1] [--out FILE.csv]

Each variant is trained on the shipped sentences once for each seed, and scored on the shipped
validation batches, which choose its epoch, and on GOLD, annotated sentences that it was neither
trained nor chosen on. Tables in Markdown go to the output, means over the seeds. Results are added
to --out as they come, and what is there already is not trained again. "ensemble" is the mean of the
probabilities of the "cnn" of all seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from nlp.ontology import Ontology
from nlp.records import RELATIONS, Passage
from nlp.relations import Probabilities, RelationModel, load_model, model_module
from nlp.relations.corpus import CORPUS_FOLDER, read_corpora
from nlp.relations.metrics import binary_scores, expected_calibration_error, macro_f1, scores
from nlp.relations.network import NetworkModel
from nlp.relations.training import Example, TrainConfig, make_examples, train
from pipelines.relations import HELD_OUT


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model, what is changed in it and in its training, and the share of sentences it sees."""

    model: str = "cnn"
    settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0


UNCHANGED = dict.fromkeys(
    ("join_rate", "drop_word_rate", "drop_cue_rate", "drop_term_rate", "swap_kind_rate"), 0.0
)
VARIANTS = {
    "cnn": Variant(),
    "without sentence embedding": Variant(settings={"sentence_size": 0}),
    "TF-IDF + SVD as sentence embedding": Variant(settings={"sentence_embedding": "tfidf"}),
    "without distances": Variant(settings={"max_distance": 0}),
    "without pair features": Variant(settings={"feature_size": 0}),
    "without distances and pair features": Variant(settings={"max_distance": 0, "feature_size": 0}),
    "without augmentation": Variant(training=UNCHANGED),
    "labels by their class alone": Variant(training={"drop_term_rate": 1.0}),
    "cnn-attention": Variant(model="cnn-attention"),
    "a half of the sentences": Variant(share=0.5),
    "a quarter of the sentences": Variant(share=0.25),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("gold", nargs="*", type=Path)
    parser.add_argument("--variants", nargs="+", default=["rules", *VARIANTS, "ensemble"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--encoder", type=Path, help="Adds a transformer on this folder.")
    parser.add_argument("--embedding", type=Path, help="Adds a cnn with these sentence vectors.")
    parser.add_argument("--out", type=Path, default=Path("relations.csv"))
    options = parser.parse_args()
    variants = dict(VARIANTS)
    if options.encoder:
        settings = {"encoder": options.encoder}
        variants["transformer"] = Variant(model="transformer", settings=settings)
    if options.embedding:
        settings = {"sentence_embedding": str(options.embedding)}
        variants["encoder as sentence embedding"] = Variant(settings=settings)
    names = [*options.variants, *(name for name in variants if name not in VARIANTS)]
    done = pd.read_csv(options.out) if options.out.is_file() else pd.DataFrame()
    for rows in _run(names, variants, options.seeds, options.gold, done):
        done = pd.concat([done, pd.DataFrame(rows)])
        done.to_csv(options.out, index=False)
    for gold in done["gold"].unique():
        print(f"\n{gold}\n\n{_table(done[done['gold'] == gold], names)}")


def _run(
    names: Sequence[str],
    variants: dict[str, Variant],
    seeds: Sequence[int],
    gold: Sequence[Path],
    done: pd.DataFrame,
) -> Iterator[list[dict[str, Any]]]:
    """Train and score what is not done yet; one row for each gold file."""
    known = set(zip(done["variant"], done["seed"], strict=True)) if len(done) else set()
    ontology = Ontology.from_csv()
    shipped = make_examples(read_corpora([CORPUS_FOLDER], without=HELD_OUT), ontology)
    validation = read_corpora(HELD_OUT)
    checks = make_examples(validation, ontology)
    golds = {"validation": validation, **{path.name: read_corpora([path]) for path in gold}}
    passages = {name: [p for p in gold if p.relations] for name, gold in golds.items()}

    def scored(name: str, seed: int, predicted: dict[str, list[Probabilities]]) -> list[Any]:
        about = {"variant": name, "seed": seed}
        return [{**about, "gold": g, **_score(passages[g], rows)} for g, rows in predicted.items()]

    def predict(model: RelationModel) -> dict[str, list[Probabilities]]:
        return {name: model.predict(of_gold) for name, of_gold in passages.items()}

    if "rules" in names and ("rules", 0) not in known:
        yield scored("rules", 0, predict(load_model("rules")))
    ensemble = []
    for seed in seeds:
        for name in (n for n in names if n in variants):
            if (name, seed) in known and not (name == "cnn" and "ensemble" in names):
                continue
            network = _train(variants[name], seed, shipped, checks, ontology)
            predicted = predict(NetworkModel(network, ontology))
            if name == "cnn":
                ensemble.append(predicted)
            if (name, seed) not in known:
                yield scored(name, seed, predicted)
    if "ensemble" in names and ("ensemble", len(seeds)) not in known:
        mean = {
            gold: [np.mean(rows, axis=0) for rows in zip(*(p[gold] for p in ensemble), strict=True)]
            for gold in passages
        }
        yield scored("ensemble", len(seeds), mean)


def _train(
    variant: Variant,
    seed: int,
    shipped: Sequence[Example],
    checks: Sequence[Example],
    ontology: Ontology,
) -> Any:
    rng = np.random.default_rng(seed)
    count = round(variant.share * len(shipped))
    examples = [shipped[i] for i in sorted(rng.permutation(len(shipped))[:count])]
    module = model_module(variant.model)
    config = TrainConfig(**getattr(module, "TRAINING", {}), seed=seed)
    torch.manual_seed(seed)
    network = module.create([e.encoded for e in examples], **variant.settings)
    train(network, examples, checks, ontology, replace(config, **variant.training))
    return network


def _score(passages: Sequence[Passage], predicted: Sequence[Probabilities]) -> dict[str, float]:
    gold = [RELATIONS.index(r.relation) for p in passages for r in p.relations]
    rows = np.concatenate(predicted)
    decided = rows.argmax(axis=1).tolist()
    return {
        "macro_f1": macro_f1(gold, decided),
        **{name: s["f1"] for name, s in scores(gold, decided).items()},
        "relevant_or_uncertain": binary_scores(gold, decided)["f1"],
        "ece": expected_calibration_error(gold, rows),
    }


def _table(done: pd.DataFrame, names: Sequence[str]) -> str:
    """Mean over the seeds, and the range of macro-F1."""
    lines = ["| variant | seeds | macro-F1 (range) | R | U | I | R or U | ECE |"]
    lines.append("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in names:
        rows = done[done["variant"] == name]
        mean = rows.mean(numeric_only=True)
        low, high = rows["macro_f1"].min(), rows["macro_f1"].max()
        columns = ("relevant", "uncertain", "irrelevant", "relevant_or_uncertain", "ece")
        figures = " | ".join(f"{mean[column]:.3f}" for column in columns)
        spread = f" ({low:.3f}-{high:.3f})" if len(rows) > 1 else ""
        lines.append(f"| {name} | {len(rows)} | {mean['macro_f1']:.3f}{spread} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
