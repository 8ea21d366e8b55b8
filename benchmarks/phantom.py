"""What the text mining is worth to the network, on phantoms whose truth is known.

    python benchmarks/phantom.py [--phantoms 7 8 9] [--lesions 400] [--backbone resnet10]
                                 [--epochs 20] [--batch-size 16]

For each phantom, reports are mined, and a network is trained on the labels that the relation
classifier calls relevant or uncertain (RU), and one on all labels that the sentences mention (RUI).
Both are scored on held-out patients against the truth: every label that was drawn, whether a
sentence states it or not. A Markdown table of means over the phantoms goes to the output.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.lesanet import TrainConfig, TrainLesanetConfig, evaluate_lesanet, train_lesanet
from pipelines.lesions import PrepareConfig, prepare_lesions
from pipelines.mine import MineConfig, mine_reports
from pipelines.phantom import write_phantom
from vision.phantom.cases import PhantomConfig

VARIANTS = {"RU": "relevant and uncertain", "RUI": "all that is mentioned"}


def lesions_of(phantom: PhantomConfig, folder: Path) -> Path:
    """Draw a phantom, mine its reports, cut its patches; the lesion dataset."""
    study = folder / "study"
    write_phantom(phantom, study, _quiet)
    mined = mine_reports(
        MineConfig(
            inputs=(study / "reports.jsonl",),
            out=folder / "mined",
            lesions=study / "lesions.csv",
            splits=study / "splits.csv",
        )
    ).dataset
    images = study / "Images_png"
    prepare_lesions(PrepareConfig(dataset=mined, images=images, out=folder / "lesions"), _quiet)
    return folder / "lesions"


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each phantom, variant and class of labels."""
    for seed in options.phantoms:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            dataset = lesions_of(PhantomConfig(lesions=options.lesions, seed=seed), folder)
            for positives in VARIANTS:
                recipe = TrainConfig(
                    epochs=options.epochs,
                    batch_size=options.batch_size,
                    backbone=options.backbone,
                    positives=positives,
                )
                config = TrainLesanetConfig(
                    dataset=dataset, out=folder / positives, training=recipe
                )
                begun = time.perf_counter()
                train_lesanet(config, say=_quiet)
                minutes = (time.perf_counter() - begun) / 60
                truth = folder / "study" / "truth.csv"
                scores = evaluate_lesanet(config.out, dataset, gold=truth)
                for name, row in {"all labels": scores, **scores["by_class"]}.items():
                    about = {"phantom": seed, "trained on": VARIANTS[positives], "labels": name}
                    figures = {key: row[key] for key in ("auc", "f1", "precision", "recall")}
                    yield {**about, **figures, "minutes": minutes}
                print(f"phantom {seed}, {VARIANTS[positives]}: {minutes:.1f} min", flush=True)


def _quiet(message: str) -> None:
    """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--phantoms", nargs="+", type=int, default=[7, 8, 9])
    parser.add_argument("--lesions", type=int, default=400)
    parser.add_argument("--backbone", default="resnet10")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    table = pd.DataFrame(results(parser.parse_args()))
    means = table.groupby(["labels", "trained on"], sort=False).mean().drop(columns="phantom")
    print("| labels | trained on | " + " | ".join(means.columns) + " |")
    print("| --- | --- |" + " ---: |" * len(means.columns))
    for (labels, trained), row in means.iterrows():
        print(f"| {labels} | {trained} | " + " | ".join(f"{v:.3f}" for v in row) + " |")


if __name__ == "__main__":
    main()
