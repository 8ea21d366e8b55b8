"""`lesionary lesanet`: the lesion annotation network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from flows.options import EXISTING, FILE, FOLDER, IN_FILE, IN_FOLDER, reports_input_errors, speaker

MODEL = click.argument("model", type=IN_FOLDER)
DATASET = click.argument("dataset", type=IN_FOLDER)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_SHOWN = 20


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them."""

    def __init__(self, *names: str) -> None:
        self.name = ",".join(names)
        self.count = len(names)

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self.count:
            self.fail(f"write {self.count} numbers as {self.name}.", param, ctx)
        return numbers


@click.group()
def lesanet() -> None:
    """The lesion annotation network: train it, score it, ask it."""


@lesanet.command()
@DATASET
@click.option("--out", required=True, type=FOLDER, help="The model's folder.")
@click.option(
    "--epochs", default=15, show_default=True, type=click.IntRange(1),
    help="Passes over the lesions; the learning rate falls after two thirds of them.",
)  # fmt: skip
@click.option(
    "--batch-size", default=128, show_default=True, type=click.IntRange(1),
    help="Lesions a step, over all processes.",
)  # fmt: skip
@click.option(
    "--learning-rate", default=0.01, show_default=True, type=click.FloatRange(0, min_open=True),
    help="Of the first epochs.",
)  # fmt: skip
@click.option(
    "--method", default="lesanet", show_default=True, metavar="NAME",
    help="lesanet, or what its paper compares it with: multilabel, warp, embedding.",
)  # fmt: skip
@click.option(
    "--backbone", default="vgg16", show_default=True, metavar="NAME",
    help="vgg16, the paper's, or resnet10, which is small and fast.",
)  # fmt: skip
@click.option(
    "--positives", default="RU", show_default=True, type=click.Choice(["R", "RU", "RUI"]),
    help="What to learn as positive: relevant, also uncertain, or all that a sentence mentions.",
)  # fmt: skip
@click.option("--seed", default=123, show_default=True, type=click.IntRange(0))
@click.option(
    "--workers", default=0, show_default=True, type=click.IntRange(0),
    help="Processes that load ahead.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as one JSON object.")
@reports_input_errors
def train(dataset: Path, out: Path, resume: bool, as_json: bool, **recipe: Any) -> None:
    """Train LesaNet on a lesion DATASET.

    Several processes: torchrun --nproc-per-node 2 -m flows lesanet train DATASET --out MODEL

    Example: lesionary lesanet train data/lesions --out models/lesanet
    """
    from pipelines.lesanet import TrainConfig, TrainLesanetConfig, train_lesanet

    config = TrainLesanetConfig(
        dataset=dataset, out=out, training=TrainConfig(**recipe), resume=resume
    )
    result = train_lesanet(config, say=speaker(quiet=as_json))
    if os.environ.get("RANK", "0") != "0":  # of the processes that torchrun started, one speaks
        return
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    _tell_averages(result, "validation")
    click.echo(f"Wrote {out}. Next: lesionary lesanet evaluate {out} {dataset}")


@lesanet.command()
@MODEL
@DATASET
@click.option("--split", default="test", show_default=True, help="Which lesions to score on.")
@click.option(
    "--gold", type=IN_FILE,
    help="CSV with lesion_id and labels joined with |: score against these instead of the reports.",
)  # fmt: skip
@JSON
@reports_input_errors
def evaluate(model: Path, dataset: Path, split: str, gold: Path | None, as_json: bool) -> None:
    """Score a MODEL on a lesion DATASET, label by label.

    Example: lesionary lesanet evaluate models/lesanet data/lesions
    """
    from pipelines.lesanet import evaluate_lesanet

    result = evaluate_lesanet(model, dataset, split=split, gold=gold)
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    click.echo(f"{'label':28}{'AUC':>7}{'prec.':>7}{'recall':>7}{'F1':>7}{'positives':>11}")
    for name, row in result["per_label"].items():
        figures = "".join(
            f"{'-' if row[key] is None else format(row[key], '.3f'):>7}"
            for key in ("auc", "precision", "recall", "f1")
        )
        click.echo(f"{name:28}{figures}{row['positives']:11,}")
    _tell_averages(result, split)
    click.echo(f"Next: lesionary lesanet predict {model} IMAGE --box X1,Y1,X2,Y2")


@lesanet.command()
@MODEL
@DATASET
@click.option("--out", required=True, type=FOLDER, help="The report's folder.")
@click.option("--split", default="test", show_default=True, help="Which lesions to report on.")
@click.option(
    "--gold", type=IN_FILE,
    help="CSV with lesion_id and labels joined with |: report on these labels as well.",
)  # fmt: skip
@click.option(
    "--label", "labels", multiple=True, metavar="NAME",
    help="Draw the curves of this label; repeatable. Default: the 12 with the most positives.",
)  # fmt: skip
@click.option(
    "--lesions", default=300, show_default=True, type=click.IntRange(0),
    help="Lesions in the gallery, evenly spread; 0 for all.",
)  # fmt: skip
@JSON
@reports_input_errors
def report(as_json: bool, **settings: Any) -> None:
    """Write tables, figures and a result gallery on a MODEL and a lesion DATASET.

    Example: lesionary lesanet report models/lesanet data/lesions --out report
    """
    from pipelines.figures import ReportConfig, write_report

    config = ReportConfig(**settings)
    result = write_report(config, say=speaker(quiet=as_json))
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    for name, scores in result["sources"].items():
        _tell_averages(scores, f"{config.split}, {name} labels")
    click.echo(f"Wrote {result['report']}. Next: open {result['gallery']} in a browser.")


def _tell_averages(result: dict[str, Any], split: str) -> None:
    click.echo(f"Means over labels, {result['lesions']:,} lesions ({split}):")
    for name, row in {"all labels": result, **result["by_class"]}.items():
        if row["labels_scored"]:
            figures = ", ".join(
                f"{shown} {row[key]:.3f}"
                for key, shown in (("auc", "AUC"), ("f1", "F1"), ("precision", "precision"),
                                   ("recall", "recall"))
            )  # fmt: skip
            click.echo(f"  {name:12} {figures} ({row['labels_scored']} labels)")


@lesanet.command()
@DATASET
@click.option("--out", required=True, type=FOLDER, help="The results: created, or added to.")
@click.option(
    "--variants", default="methods,parts", show_default=True, metavar="NAMES",
    help="Variants and groups of them with commas between: all, methods, parts, labels, mining, "
    "batch. The full model is always there.",
)  # fmt: skip
@click.option(
    "--splits", default=0, show_default=True, type=click.IntRange(0),
    help="Random splits by patient; 0 takes the dataset's own split.",
)  # fmt: skip
@click.option(
    "--gold", type=IN_FILE,
    help="CSV with lesion_id and labels joined with |: score against these as well.",
)  # fmt: skip
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(1))
@click.option("--batch-size", default=128, show_default=True, type=click.IntRange(1))
@click.option("--backbone", default="vgg16", show_default=True, metavar="NAME")
@click.option("--seed", default=123, show_default=True, type=click.IntRange(0))
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1),
    help="Trainings at once, each in its own process: one for each GPU, say.",
)  # fmt: skip
@click.option("--rebuild", is_flag=True, help="Only write tables and page anew, train nothing.")
@click.option("--plain", is_flag=True, help="Without Prefect: same output, no server start.")
@reports_input_errors
def ablate(
    dataset: Path,
    out: Path,
    variants: str,
    splits: int,
    gold: Path | None,
    jobs: int,
    rebuild: bool,
    plain: bool,
    **recipe: Any,
) -> None:
    """Train LesaNet and variants of it on a lesion DATASET, and compare them.

    Run it again after it was stopped: what is done is kept, what was begun goes on.

    Example: lesionary lesanet ablate data/lesions --out results --splits 5
    """
    from pipelines.ablation import AblateConfig, ablate_lesanet
    from pipelines.ablation_tables import write_tables
    from pipelines.lesanet import TrainConfig
    from pipelines.variants import choose_variants

    names = tuple(name.strip() for name in variants.split(","))
    config = AblateConfig(
        dataset=dataset, out=out, variants=names, splits=splits, gold=gold,
        training=TrainConfig(**recipe), jobs=jobs,
    )  # fmt: skip
    if rebuild:
        page = write_tables(out, choose_variants(names))
    elif plain:
        page = ablate_lesanet(config, say=click.echo)
    else:
        click.echo("Starting Prefect, which takes up to half a minute (--plain does without) ...")
        from flows import ablation

        page = ablation.run(config)
    click.echo(page.with_suffix(".md").read_text(encoding="utf-8"))
    click.echo(f"Wrote {page}. Next: open it in a browser.")


@lesanet.command()
@MODEL
@click.argument("image", type=EXISTING)
@click.option(
    "--box", "box_px", required=True, type=Numbers("X1", "Y1", "X2", "Y2"),
    help="The lesion, in pixels of the slice as it is looked at: the patient's right on the left.",
)  # fmt: skip
@click.option(
    "--slice", "slice_index", type=int,
    help="The lesion's slice: PNG file number, NIfTI voxel index, DICOM InstanceNumber. Needed for "
    "a volume or a folder.",
)  # fmt: skip
@click.option(
    "--spacing", "spacing_mm", type=Numbers("X", "Y", "INTERVAL"),
    help="Pixel width, height and slice interval in mm, for PNG and JPG.",
)  # fmt: skip
@click.option(
    "--picture", type=FILE, default=Path("lesion.png"), show_default=True,
    help="Where to draw the patch with its box and labels.",
)  # fmt: skip
@JSON
@reports_input_errors
def predict(model: Path, image: Path, picture: Path, as_json: bool, **where: Any) -> None:
    """Print the labels of a lesion in an IMAGE, and draw it.

    IMAGE is a PNG of DeepLesion, a NIfTI file, a DICOM file or the folder of a series.

    Example: lesionary lesanet predict models/lesanet ct.nii.gz --slice 14 --box 30,40,52,60
    """
    from pipelines.lesanet import predict_lesion

    result = predict_lesion(model, image, picture=picture, **where)
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    for label in result["labels"][:_SHOWN]:
        mark = "+" if label["positive"] else " "
        click.echo(
            f"{mark} {label['term']:28} {label['score']:.3f} (from {label['threshold']:.3g})"
        )
    click.echo(f"Wrote {picture}. Next: lesionary lesanet evaluate {model} DATASET")


@lesanet.command()
@click.argument("checkpoint", type=IN_FILE)
@click.option("--out", required=True, type=FOLDER, help="The model's folder.")
@click.option("--ontology", type=IN_FILE, help="The label table that the scores follow.")
@reports_input_errors
def convert(checkpoint: Path, out: Path, ontology: Path | None) -> None:
    """Convert a CHECKPOINT of the authors' LesaNet into a model's folder.

    Example: lesionary lesanet convert model_best.pth.tar --out models/published
    """
    from pipelines.lesanet import convert_lesanet

    convert_lesanet(checkpoint, out, ontology=ontology)
    click.echo(f"Wrote {out}. Next: lesionary lesanet evaluate {out} DATASET")


@lesanet.command()
@MODEL
@DATASET
@click.option("--query", metavar="LESION_ID", help="The lesion to find others for.")
@click.option(
    "--all", "whole", is_flag=True,
    help="Ask for each lesion of --queries, and print how much is in common on average.",
)  # fmt: skip
@click.option("-k", default=5, show_default=True, type=click.IntRange(1), help="How many to find.")
@click.option(
    "--split",
    help="Where to look. Default: all lesions of DATASET for --query, the training part for --all.",
)
@click.option("--queries", default="test", show_default=True, help="Which lesions ask, for --all.")
@click.option("--page", type=FILE, help="Write an HTML page with patches and report sentences.")
@JSON
@reports_input_errors
def retrieve(
    model: Path,
    dataset: Path,
    query: str | None,
    whole: bool,
    k: int,
    split: str | None,
    queries: str,
    page: Path | None,
    as_json: bool,
) -> None:
    """Find lesions of other patients in a DATASET that look like one of its lesions to a MODEL.

    Example: lesionary lesanet retrieve models/lesanet data/lesions --query 000089_01_01_037.png#0
    """
    from pipelines.retrieval import retrieve_lesions, score_lesion_retrieval

    if whole == (query is not None):
        raise click.UsageError("Give either --query LESION_ID or --all.")
    options: dict[str, Any] = {"k": k, "page": page, "say": speaker(quiet=as_json)}
    if query is None:
        result = score_lesion_retrieval(
            model, dataset, queries=queries, split=split or "train", **options
        )
    else:
        result = retrieve_lesions(model, dataset, query, split=split, **options)
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    if query is None:
        _tell_gain(result, queries, split or "train")
    else:
        _tell_found(result)
    if page:
        click.echo(f"Wrote {page}.")
    else:
        click.echo("Next: add --page FILE.html to look at the lesions.")


def _tell_gain(result: dict[str, Any], queries: str, split: str) -> None:
    click.echo(
        f"{result['queries']:,} lesions ({queries}) asked for {result['k']} of "
        f"{result['searched']:,} ({split}):"
    )
    for name, key in (("common labels (ACG)", "acg"), ("similarity of labels", "similarity")):
        click.echo(f"  {name:21} {result[key]:.3f}, at random {result[f'random_{key}']:.3f}")


def _tell_found(result: dict[str, Any]) -> None:
    query = result["query"]
    click.echo(f"{query['lesion_id']} ({query['split']}): {', '.join(query['labels']) or '-'}")
    click.echo(f"{'':3}{'distance':>8}  lesion, split, common labels")
    for place, row in enumerate(result["retrieved"], start=1):
        common = ", ".join(row["common"]) or "nothing in common"
        click.echo(
            f"{place:2} {row['distance']:8.3f}  {row['lesion_id']} ({row['split']}): {common}"
        )
