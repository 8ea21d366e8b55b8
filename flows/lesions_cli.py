"""`lesionary lesions`: datasets of lesions with image patches."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.options import FOLDER, IN_FILE, IN_FOLDER, reports_input_errors, speaker

if TYPE_CHECKING:
    from pipelines.lesions import LesionResult

OUT = click.option("--out", required=True, type=FOLDER, help="The lesion dataset; a new folder.")
WORKERS = click.option(
    "--workers", default=os.cpu_count() or 1, type=click.IntRange(min=1),
    help="Threads that decode images. Default: one a core.",
)  # fmt: skip
STRICT = click.option("--strict", is_flag=True, help="Exit with 1 if any record was rejected.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
_REASONS_SHOWN = 3


@click.group()
def lesions() -> None:
    """Datasets of lesions with image patches, which LesaNet is trained on."""


@lesions.command("import-deeplesion")
@click.option("--images", required=True, type=IN_FOLDER, help="DeepLesion's folder Images_png.")
@click.option("--dl-info", required=True, type=IN_FILE, help="DeepLesion's table DL_info.csv.")
@click.option(
    "--labels", type=IN_FILE,
    help="The published text_mined_labels_171_and_split.json: imports the lesions it names, in its "
    "splits. Default: all lesions, without labels, in DeepLesion's own splits.",
)  # fmt: skip
@OUT
@click.option("--ontology", type=IN_FILE, help="Another label table.")
@click.option(
    "--split-by-patient", is_flag=True,
    help="Put a patient who is in several published splits into the one with most lesions.",
)  # fmt: skip
@WORKERS
@STRICT
@JSON
@reports_input_errors
def import_deeplesion(strict: bool, as_json: bool, **options: Any) -> None:
    """Make a lesion dataset of DeepLesion, with the labels published for LesaNet.

    Example: lesionary lesions import-deeplesion --images Images_png --dl-info DL_info.csv
    --labels text_mined_labels_171_and_split.json --out deeplesion
    """
    from pipelines import lesions as pipeline

    config = pipeline.ImportConfig(**options)
    _tell(pipeline.import_deeplesion(config, speaker(quiet=as_json)), strict, as_json)


@lesions.command()
@click.argument("dataset", type=IN_FOLDER)
@click.option("--images", required=True, type=IN_FOLDER, help="Where the image_file of a row lies.")
@OUT
@WORKERS
@STRICT
@JSON
@reports_input_errors
def prepare(strict: bool, as_json: bool, **options: Any) -> None:
    """Make a lesion dataset of the mined DATASET and its images.

    Takes the bookmarks with a lesion and a place in an image (mine with --lesions), and merges
    those of one lesion.

    Example: lesionary lesions prepare data/mined --images images --out data/lesions
    """
    from pipelines import lesions as pipeline

    config = pipeline.PrepareConfig(**options)
    _tell(pipeline.prepare_lesions(config, speaker(quiet=as_json)), strict, as_json)


@lesions.command()
@click.option("--out", required=True, type=FOLDER, help="The phantom studies; a new folder.")
@click.option("--lesions", default=400, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--tail", default=0.0, show_default=True, type=click.FloatRange(0),
    help="Above 0, a few labels are frequent and many rare; 2 comes near DeepLesion's.",
)  # fmt: skip
@JSON
@reports_input_errors
def phantom(out: Path, as_json: bool, **options: Any) -> None:
    """Draw CT studies with known lesions, and write the reports that go with them.

    The folder gets slices and a table in DeepLesion's format, reports, and truth.csv.

    Example: lesionary lesions phantom --out data/phantom --lesions 400
    """
    import time

    from pipelines import phantom as pipeline

    begun = time.perf_counter()
    result = pipeline.write_phantom(pipeline.PhantomConfig(**options), out, speaker(quiet=as_json))
    seconds = round(time.perf_counter() - begun, 2)
    if as_json:
        shown = {**asdict(result), "folder": str(out), "seconds": seconds}
        click.echo(json.dumps(shown))
        return
    counts = " / ".join(f"{count:,} {split}" for split, count in result.splits.items())
    click.echo(
        f"{result.slices:,} slices of {result.patients:,} patients, lesions: {counts}. "
        f"{seconds:.1f} s.\nWrote {out}. Next: lesionary mine {out}/reports.jsonl "
        f"--lesions {out}/lesions.csv --splits {out}/splits.csv --out DATASET"
    )


def _tell(result: LesionResult, strict: bool, as_json: bool) -> None:
    rejected = sum(result.reasons.values())
    if as_json:
        shown = {"dataset": str(result.dataset), "splits": result.splits, "labels": result.labels}
        click.echo(json.dumps({**shown, "rejected": rejected, "reasons": result.reasons}))
    else:
        _say(result, rejected)
    if strict and rejected:
        where = result.dataset / "rejected.jsonl"
        raise click.ClickException(f"{rejected:,} records were rejected; see {where}.")


def _say(result: LesionResult, rejected: int) -> None:
    counts = " / ".join(f"{count:,} {split}" for split, count in result.splits.items())
    labels = ", ".join(f"{count:,} {name}" for name, count in result.labels.items())
    click.echo(f"{sum(result.splits.values()):,} lesions: {counts}. Label instances: {labels}.")
    if rejected:
        where = result.dataset / "rejected.jsonl"
        click.echo(f"{rejected:,} records were rejected; {where} says which and why:")
        reasons = sorted(result.reasons.items(), key=lambda item: -item[1])
        for reason, count in reasons[:_REASONS_SHOWN]:
            click.echo(f"  {count:,} x {reason}")
        if len(reasons) > _REASONS_SHOWN:
            click.echo(f"  and {len(reasons) - _REASONS_SHOWN:,} other reasons")
    train = f"lesionary lesanet train {result.dataset} --out MODEL"
    load = f'datasets.load_dataset("{result.dataset}")'
    click.echo(f"Wrote {result.dataset}. Next: {train if result.labels['relevant'] else load}")
