"""The `lesionary` command. Heavy imports stand in the commands, so that --help stays fast."""

from __future__ import annotations

import json
import logging
import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import flows.settings  # noqa: F401  (offline, without telemetry)
from flows.lesanet_cli import lesanet
from flows.lesions_cli import lesions
from flows.options import EXISTING, FILE, FOLDER, IN_FILE, reports_input_errors, speaker

PRECISION = click.option(
    "--precision", type=click.FloatRange(0, 1),
    help="Call a pair relevant only where the model was sure enough to reach this precision on its "
    "validation sentences; the others become uncertain.",
)  # fmt: skip
LEMMATIZERS = click.Choice(["auto", "wordnet", "lemminflect", "none"])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lesionary")
def main() -> None:
    """Turn radiology reports into training labels for lesion images."""
    # spaCy and scispaCy warn about internals that a user can't change.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)


@main.command()
@click.argument("inputs", nargs=-1, required=True, type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="The dataset: created, or added to.")
@click.option("--source", metavar="NAME", help="Report format. Default: by content.")
@click.option(
    "--column", "columns", multiple=True, metavar="OURS=THEIRS",
    help="A field's name in the input, such as text=report_text. Repeatable.",
)  # fmt: skip
@click.option("--encoding", default="utf-8", show_default=True, help="Of text, CSV and JSONL.")
@click.option(
    "--relations", default="cnn", show_default=True, metavar="MODEL",
    help="Relation model: cnn, rules, or a trained model's folder.",
)  # fmt: skip
@PRECISION
@click.option("--ontology", type=IN_FILE, help="Another label table.")
@click.option("--lesions", type=IN_FILE, help="CSV with the image place of each lesion_id.")
@click.option("--splits", type=IN_FILE, help="CSV with patient_id and split. Default: by hash.")
@click.option(
    "--hyperlink", "hyperlinks", multiple=True, metavar="REGEX",
    help="What a hyperlink looks like, instead of the shipped patterns. Repeatable.",
)  # fmt: skip
@click.option("--lemmatizer", default="auto", show_default=True, type=LEMMATIZERS)
@click.option(
    "--runner", default="local", show_default=True,
    type=click.Choice(["local", "processes"]), help="Where batches are mined.",
)  # fmt: skip
@click.option("--plain", is_flag=True, help="Without Prefect: same output, no server start.")
@click.option("--strict", is_flag=True, help="Exit with 1 if any record was rejected.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
@reports_input_errors
def mine(
    inputs: tuple[Path, ...],
    out: Path,
    columns: tuple[str, ...],
    hyperlinks: tuple[str, ...],
    runner: str,
    plain: bool,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Add what is mined from INPUTS, files or folders, to the dataset in the folder --out.

    Example: lesionary mine reports.jsonl --out data/lesions
    """
    import time

    say = speaker(quiet=as_json)
    begun = time.perf_counter()
    say(f"Mining {', '.join(map(str, inputs))} into {out} ...")
    if not plain:
        say("Starting Prefect, which takes up to half a minute (--plain does without) ...")
        _quieten_prefect()
    from pipelines import mine as pipeline

    if hyperlinks:
        options["hyperlinks"] = hyperlinks
    config = pipeline.MineConfig(
        inputs=inputs,
        out=out,
        columns=_pairs(columns),
        workers=(os.cpu_count() or 1) if runner == "processes" else 1,
        **options,
    )
    if options["lemmatizer"] == "auto" and pipeline.load_tools(config).lemmatizer != "wordnet":
        say("WordNet is missing ('lesionary setup' fetches it); taking lemminflect's lemmas.")
    if plain:
        result = pipeline.mine_reports(config)
    else:
        from flows.mine import run

        result = run(config)
    seconds = round(time.perf_counter() - begun, 2)
    if as_json:
        shown = {**result.counts, "seconds": seconds, "dataset": str(out), "page": str(result.page)}
        click.echo(json.dumps(shown))
    else:
        _tell(result, seconds)
    if strict and result.counts["rejected"]:
        raise click.ClickException(
            f"{result.counts['rejected']} records were rejected; see {out / 'rejected.jsonl'}."
        )


def _tell(result: Any, seconds: float) -> None:
    counts = result.counts
    click.echo(
        f"{counts['reports']:,} reports, {counts['bookmarks']:,} bookmarks, "
        f"{counts['pairs']:,} pairs: {counts['relevant']:,} relevant, "
        f"{counts['uncertain']:,} uncertain, {counts['irrelevant']:,} irrelevant. {seconds:.1f} s."
    )
    if counts["known"]:
        click.echo(f"{counts['known']:,} reports were in the dataset already.")
    if result.outdated:
        click.echo(
            f"Older batches were mined with another {', '.join(result.outdated)}; to mine them "
            "anew, choose another --out."
        )
    if counts["lesion_mismatches"]:
        click.echo(
            f"{counts['lesion_mismatches']:,} reports name more or fewer lesions than they have "
            "bookmarks; their lesions were left out."
        )
    if counts["rejected"]:
        where = result.dataset / "rejected.jsonl"
        click.echo(f"{counts['rejected']:,} records were rejected; {where} says which and why.")
    if not counts["bookmarks"] and not counts["known"]:
        click.echo("No hyperlink, size or slice reference was found, so there are no rows to load.")
    click.echo(f"Wrote {result.dataset}. Look at it: {result.page}")
    click.echo(f'Next: datasets.load_dataset("{result.dataset}")')


@main.command()
@click.argument("source", metavar="IN.jsonl", type=IN_FILE)
@click.argument("target", metavar="OUT.jsonl", type=FILE)
@click.option("--ontology", type=IN_FILE, help="Another label table.")
@click.option("--lemmatizer", default="auto", show_default=True, type=LEMMATIZERS)
@reports_input_errors
def match(source: Path, target: Path, ontology: Path | None, lemmatizer: Any) -> None:
    """Find the labels in each line's text, without bookmarks and relations.

    Example: lesionary match sentences.jsonl labels.jsonl
    """
    from pipelines.match import match_file

    count = match_file(source, target, ontology=ontology, lemmatizer=lemmatizer)
    click.echo(f"Matched {count:,} texts. Wrote {target}.")


@main.group()
def relations() -> None:
    """Which label belongs to which bookmark: predict, check, train, evaluate."""


@relations.command()
@click.argument("source", metavar="IN.jsonl", type=IN_FILE)
@click.argument("target", metavar="OUT.jsonl", type=FILE)
@click.option("--relations", "model", default="cnn", show_default=True, metavar="MODEL")
@PRECISION
@reports_input_errors
def predict(source: Path, target: Path, model: str, precision: float | None) -> None:
    """Decide every bookmark and mention of each line's sentence.

    Example: lesionary relations predict sentences.jsonl relations.jsonl
    """
    from pipelines.match import predict_file

    count = predict_file(source, target, relations=model, precision=precision)
    click.echo(f"Decided the relations of {count:,} sentences. Wrote {target}.")


@relations.command()
@click.argument("corpora", metavar="[CORPUS]...", nargs=-1, type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="The model's folder.")
@click.option(
    "--model", default="cnn", show_default=True,
    type=click.Choice(["cnn", "cnn-attention", "transformer"]), help="What to train.",
)  # fmt: skip
@click.option("--encoder", type=EXISTING, help="A folder of transformers, for --model transformer.")
@click.option(
    "--sentence-embedding", metavar="tfidf|PATH",
    help="Instead of the mean of learned words: tfidf, a folder of sentence-transformers, or a "
    "sent2vec file.",
)  # fmt: skip
@click.option(
    "--weight", default=1.0, show_default=True, type=click.FloatRange(0, min_open=True),
    help="How much a pair of CORPUS counts, against 1 for one that ships.",
)  # fmt: skip
@click.option("--without-shipped", is_flag=True, help="Train on CORPUS alone.")
@click.option(
    "--validation", multiple=True, type=EXISTING,
    help="Sentences that choose the epoch and the temperature. Default: those that ship.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True)
@click.option("--epochs", default=None, type=click.IntRange(1), help="Passes over the corpus.")
@reports_input_errors
def train(
    corpora: tuple[Path, ...],
    out: Path,
    without_shipped: bool,
    validation: tuple[Path, ...],
    **options: Any,
) -> None:
    """Train a relation model on the annotated sentences that ship, and on those of CORPUS.

    A corpus is a file, or a folder of files, in the project's markup (.txt) or as JSON Lines.

    Example: lesionary relations train corrections.jsonl --weight 3 --out models/relations
    """
    from pipelines.relations import TrainRelationsConfig, train_relations

    if validation:
        options["validation"] = validation
    config = TrainRelationsConfig(corpora=corpora, out=out, shipped=not without_shipped, **options)
    metrics = train_relations(config, say=click.echo)
    click.echo(
        f"Macro-F1 {metrics['macro_f1']:.3f} on {metrics['pairs']:,} validation pairs "
        f"(rules: {metrics['rules_macro_f1']:.3f}). Wrote {out}."
    )
    click.echo(f"Next: lesionary mine REPORTS --out DATASET --relations {out}")


@relations.command()
@click.argument("gold", metavar="GOLD...", nargs=-1, required=True, type=EXISTING)
@click.option("--relations", "model", default="cnn", show_default=True, metavar="MODEL")
@click.option(
    "--compare", default="rules", show_default=True, metavar="MODEL",
    help="The model that it is compared with.",
)  # fmt: skip
@PRECISION
@click.option(
    "--end-to-end", is_flag=True,
    help="Also find bookmarks and mentions in the text, and say where pairs are lost.",
)  # fmt: skip
@click.option(
    "--page", type=FILE, metavar="FILE.html",
    help="Also write a page with the worst errors. It quotes the sentences of GOLD.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the scores as one JSON object.")
@reports_input_errors
def evaluate(
    gold: tuple[Path, ...],
    model: str,
    page: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score a model on annotated sentences, with their own bookmarks and mentions.

    Example: lesionary relations evaluate gold.jsonl --end-to-end --page errors.html
    """
    from pipelines.evaluation import evaluate_relations
    from pipelines.summary import score_summary

    say = speaker(quiet=as_json)
    say(f"Scoring {model} on {', '.join(map(str, gold))} ...")
    scores = evaluate_relations(gold, relations=model, page=page, **options)
    click.echo(json.dumps(scores) if as_json else score_summary(scores))
    if page:
        say(f"Wrote {page}, which quotes the sentences.")
    else:
        say("Next: --page errors.html shows the worst errors.")


@relations.command("check")
@click.argument("corpora", metavar="[CORPUS]...", nargs=-1, type=EXISTING)
@click.option(
    "--against", multiple=True, type=EXISTING, metavar="FILE",
    help="A text that no sentence may repeat or paraphrase: .jsonl or .txt. Repeatable.",
)  # fmt: skip
@click.option("--verbose", is_flag=True, help="List the term words that nobody marked.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@reports_input_errors
def check_annotations(
    corpora: tuple[Path, ...], against: tuple[Path, ...], verbose: bool, as_json: bool
) -> None:
    """Check annotated sentences; without CORPUS, those that ship.

    Example: lesionary relations check mine.txt --against reports.jsonl
    """
    from pipelines.corpus import check_corpora

    checked = check_corpora(corpora, against)
    if as_json:
        click.echo(json.dumps(checked))
    else:
        _tell_checked(checked, verbose=verbose)
    if faults := checked["faults"]:
        count = "One fault" if len(faults) == 1 else f"{len(faults):,} faults"
        raise click.ClickException(f"{count} in the corpus; correct the lines and check again.")
    if not as_json:
        click.echo("The corpus is sound. Next: lesionary relations train CORPUS --out MODEL")


def _tell_checked(checked: dict[str, Any], *, verbose: bool) -> None:
    for fault in checked["faults"]:
        click.echo(f"{fault['file']}, line {fault['line']}: {fault['problem']}")
    if verbose:
        for u in checked["unmarked"]:
            click.echo(f"{u['file']}, line {u['line']}: unmarked '{u['words']}' ({u['term']})")
    for key in ("sentences", "words", "bookmarks", "mentions", "pairs"):
        click.echo(f"{key:28} {checked[key]:,}")
    for key, share in checked["shares"].items():
        click.echo(f"{key:28} {share:.1%}")
    click.echo(f"{'with several bookmarks':28} {checked['share_with_several_bookmarks']:.1%}")
    click.echo(f"{'term words unmarked':28} {len(checked['unmarked']):,} (--verbose lists them)")
    never, few = checked["labels_never"], checked["labels_few"]
    click.echo(f"{'labels that never occur':28} {len(never)} {', '.join(never)}")
    shown = ", ".join(f"{name} {count}" for name, count in few.items())
    click.echo(f"{'labels less than ten times':28} {len(few)} {shown}")
    for n in checked["nearest"]:
        click.echo(
            f"{'nearest':28} {n['similarity']:.2f}, {n['rare_runs']} rare runs: {n['file']}, "
            f"line {n['line']} - {n['other_file']}, line {n['other_line']}"
        )


main.add_command(lesions)
main.add_command(lesanet)


@main.group()
def ontology() -> None:
    """The label table: show a term, check a table, suggest what it lacks."""


@ontology.command()
@click.argument("term")
@click.option("--ontology", "table", type=IN_FILE, help="Another label table.")
@click.option("--json", "as_json", is_flag=True)
@reports_input_errors
def show(term: str, table: Path | None, as_json: bool) -> None:
    """Show a term, found by its name or any synonym.

    Example: lesionary ontology show GGO
    """
    from pipelines.ontology import describe_term

    described = describe_term(term, table)
    if as_json:
        click.echo(json.dumps(described))
        return
    for key, value in described.items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        click.echo(f"{key:12} {text or '-'}")


@ontology.command()
@click.argument("table", metavar="[FILE]", required=False, type=IN_FILE)
@click.option("--json", "as_json", is_flag=True)
@reports_input_errors
def check(table: Path | None, as_json: bool) -> None:
    """Check a label table; without FILE, the shipped one.

    Example: lesionary ontology check my_labels.csv
    """
    from pipelines.ontology import count_terms

    counts = count_terms(table)
    if as_json:
        click.echo(json.dumps(counts))
        return
    for key, value in counts.items():
        click.echo(f"{key:22} {value}")
    click.echo("The table is sound.")


@ontology.command()
@click.argument("reports", nargs=-1, required=True, type=EXISTING)
@click.option("--column", "columns", multiple=True, metavar="OURS=THEIRS")
@click.option("--most", default=40, show_default=True, help="How many phrases.")
@click.option("--ontology", "table", type=IN_FILE, help="Another label table.")
@click.option("--json", "as_json", is_flag=True)
@reports_input_errors
def suggest(
    reports: tuple[Path, ...],
    columns: tuple[str, ...],
    most: int,
    table: Path | None,
    as_json: bool,
) -> None:
    """List frequent phrases of REPORTS that no term covers, with the nearest terms.

    Only sentences with a bookmark are read. Words and counts are shown, no sentences.

    Example: lesionary ontology suggest reports.jsonl
    """
    from pipelines.ontology import suggest_synonyms

    found = suggest_synonyms(reports, columns=_pairs(columns), most=most, ontology=table)
    if as_json:
        click.echo(json.dumps([asdict(s) for s in found]))
        return
    for s in found:
        near = ", ".join(f"{term} {similarity:.2f}" for term, similarity in s.nearest)
        click.echo(f"{s.count:6}  {s.phrase:32} {near}")
    click.echo("Add good ones to the table's synonyms, then: lesionary ontology check FILE")


@main.command()
@reports_input_errors
def setup() -> None:
    """Fetch WordNet's data once, from NLTK's downloader or Debian's packages."""
    from pipelines.setup import install_wordnet

    click.echo(f"WordNet: {install_wordnet()}.")


def _pairs(columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for column in columns:
        ours, equals, theirs = column.partition("=")
        if not (ours and equals and theirs):
            raise click.UsageError(f"--column {column}: write OURS=THEIRS, as text=report_text.")
        pairs.append((ours, theirs))
    return tuple(pairs)


def _quieten_prefect() -> None:
    """Prefect logs to the error stream; warnings are enough beside our own words."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    logging.getLogger("httpx").setLevel(logging.WARNING)
