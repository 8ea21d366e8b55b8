"""Mine reports into a labelled dataset, batch by batch."""

from __future__ import annotations

import gc
import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import version
from itertools import chain, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tqdm import tqdm

from nlp.bookmarks import HYPERLINK_PATTERNS, BookmarkConfig, may_hold_bookmarks
from nlp.components import load_pipeline
from nlp.errors import InputError
from nlp.ontology import Ontology
from nlp.passages import find_passages, match_labels
from nlp.records import RELATIONS, Passage, Rejected, Report
from nlp.relations import RelationModel, classify_relations, load_model
from nlp.rows import (
    Place,
    features,
    read_lesion_table,
    read_split_table,
    rows_of,
    shards,
    write_shards,
)
from nlp.sources import read_reports
from nlp.store import Batch as Batch
from nlp.store import (
    Manifest,
    add_rejected,
    digest_of,
    read_index,
    read_manifest,
    write_card,
    write_index,
    write_manifest,
)
from nlp.text import LemmatizerName, resolve_lemmatizer
from pipelines.locks import folder_lock

if TYPE_CHECKING:
    from spacy.language import Language

STAGING: Final = ".staging"


@dataclass(frozen=True, kw_only=True)
class MineConfig:
    """What to mine, where to, and how.

    `columns` pairs our field names with those of the input. A batch ends after `batch_reports`
    reports or `batch_characters` characters, whichever comes first.
    """

    inputs: tuple[Path, ...]
    out: Path
    source: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    encoding: str = "utf-8"
    ontology: Path | None = None
    relations: str = "cnn"
    precision: float | None = None
    lemmatizer: LemmatizerName = "auto"
    lesions: Path | None = None
    splits: Path | None = None
    hyperlinks: tuple[str, ...] = HYPERLINK_PATTERNS
    batch_reports: int = 2000
    batch_characters: int = 4_000_000
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The batches of a run, staged on disk, and what was met while reading."""

    batches: tuple[Path, ...]
    reports: int
    known: int
    reasons: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class MineResult:
    """What a run did, and where the dataset and its page are.

    `labels` counts the bookmarks of each relevant label, `reasons` the rejected records; `samples`
    are some of its predictions, without their words; `outdated` names the parts of the recipe that
    were others when older batches were mined.
    """

    dataset: Path
    page: Path
    counts: dict[str, int]
    labels: dict[str, int]
    reasons: dict[str, int]
    samples: list[dict[str, Any]]
    outdated: tuple[str, ...]


def mine_reports(config: MineConfig) -> MineResult:
    """Mine reports into a labelled dataset.

    Raises:
        InputError: If an input, table or option can't be used; nothing is written then.
    """
    with folder_lock(config.out):
        plan = plan_batches(config)
        mined = _mine_batches(plan.batches, config)
        batches = [commit_batch(batch, config) for batch in _progress(mined, plan)]
        return finish(plan, batches, config)


def _mine_batches(paths: Iterable[Path], config: MineConfig) -> Iterator[Batch]:
    """Mine batches here or in processes; in either case in their order."""
    if config.workers == 1:
        yield from (mine_batch(path, config) for path in paths)
        return
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(mine_batch, paths, repeat(config))


def _progress(batches: Iterable[Batch], plan: Plan) -> Iterator[Batch]:
    """Show a bar of the reports mined, where someone can see it."""
    with tqdm(total=plan.reports, unit=" reports", desc="Mining", disable=None) as bar:
        for batch in batches:
            yield batch
            bar.update(batch.counts["reports"])


def mine_batch(path: Path, config: MineConfig) -> Batch:
    """Mine one staged batch of reports into shards; return what they hold."""
    tools = load_tools(config)
    counts: Counter[str] = Counter()
    passages = find_passages(read_staged(path), tools.bookmarks, counts)
    mentions = match_labels(passages, tools.pipeline, counts)
    relations = classify_relations(mentions, tools.model)
    return write_rows(relations, path.stem, counts, config)


def write_rows(
    passages: Iterable[Passage], digest: str, counts: Counter[str], config: MineConfig
) -> Batch:
    """Write the shards of a batch; they join the dataset when it is committed."""
    tools = load_tools(config)
    labels: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        for passage in passages:
            counts.update(r.relation for r in passage.relations)
            for row in rows_of(passage, tools.ontology, tools.places):
                labels.update(tools.ontology.labels[i] for i in row["relevant"])
                counts["conflicts"] += bool(row["conflicts"])
                yield row

    data = config.out / "data"
    written = write_shards(rows(), data, digest, features(tools.ontology.labels), tools.splits)
    return Batch(
        digest=digest,
        rows=written,
        counts=dict(counts),
        labels=dict(labels),
        recipe=tools.recipe,
    )


def plan_batches(config: MineConfig) -> Plan:
    """Check the input and stage the reports that the dataset does not hold yet.

    Records that can't be used go to `rejected.jsonl`. A report id that was met before is skipped
    if the report is the same, and rejected if it is another one.
    """
    manifest = _check_dataset(config)
    seen = read_index(config.out, manifest)
    staging = config.out / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    records = read_reports(
        config.inputs,
        source=config.source,
        columns=dict(config.columns),
        encoding=config.encoding,
    )
    first = next(records, None)  # what spoils a whole input raises here, before anything is written
    rejected: list[Rejected] = []
    tally: Counter[str] = Counter()
    fresh = _unseen(chain([first] if first else [], records), seen, rejected, tally)
    batches = tuple(_stage(group, staging, config) for group in _group(fresh, config))
    add_rejected(config.out, rejected)
    if not batches and not manifest.batches:
        shutil.rmtree(staging, ignore_errors=True)
        raise InputError(_nothing_usable(config, rejected))
    return Plan(
        batches=batches,
        reports=tally["fresh"],
        known=tally["known"],
        reasons=dict(Counter(record.reason for record in rejected)),
    )


def commit_batch(batch: Batch, config: MineConfig) -> Batch:
    """Make a mined batch part of the dataset, in one step."""
    tools = load_tools(config)
    manifest = read_manifest(config.out)
    staged = config.out / STAGING / f"{batch.digest}.parquet"
    if batch.digest not in {b.digest for b in manifest.batches}:
        entries = {_report_key(r): _report_digest(r) for r in read_staged(staged)}
        write_index(config.out, batch.digest, entries)
        manifest = replace(
            manifest,
            labels=tools.ontology.labels,
            batches=(*manifest.batches, batch),
        )
        write_manifest(config.out, manifest, tools.ontology)
    staged.unlink(missing_ok=True)
    return batch


def finish(plan: Plan, batches: Iterable[Batch], config: MineConfig) -> MineResult:
    """Write the page, tidy up, and add the counts of the run."""
    from pipelines.page import write_page

    tools = load_tools(config)
    manifest = read_manifest(config.out)
    write_card(config.out, manifest, tools.ontology)
    _tidy(config.out, manifest)
    batches = list(batches)
    counts, labels = Counter(dict.fromkeys(_COUNTS, 0)), Counter[str]()
    for batch in batches:
        counts.update(batch.counts)
        labels.update(batch.labels)
    counts.update(rejected=sum(plan.reasons.values()), known=plan.known)
    return MineResult(
        dataset=config.out,
        page=write_page(config.out, manifest, tools.ontology),
        counts=dict(counts),
        labels=dict(labels),
        reasons=plan.reasons,
        samples=_samples(config.out, batches),
        outdated=tuple(
            name
            for name, value in tools.recipe.items()
            if any(batch.recipe[name] != value for batch in manifest.batches)
        ),
    )


def _samples(out: Path, batches: list[Batch], number: int = 20) -> list[dict[str, Any]]:
    """Some predictions of the last shard: kind and size of the bookmark, label, relation."""
    from pyarrow import parquet

    paths = [p for b in batches for p in shards(out / "data", b.digest, b.rows).values()]
    if not paths:
        return []
    columns = ["bookmark", "mentions"]
    rows = parquet.read_table(paths[-1], columns=columns).slice(0, number).to_pylist()
    return [
        {
            "bookmark": " ".join([row["bookmark"]["kind"], *map(_mm, row["bookmark"]["sizes_mm"])]),
            "label": mention["term"],
            "relation": RELATIONS[mention["relation"]],
            "probability": max(mention["probabilities"]),
        }
        for row in rows
        for mention in row["mentions"]
    ][:number]


def _mm(length: float) -> str:
    return f"{length:g} mm"


_COUNTS: Final = (
    *("reports", "sentences", "bookmarks", "priors", "mentions", "pairs"),
    *("relevant", "uncertain", "irrelevant", "conflicts", "lesion_mismatches"),
)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a worker needs, loaded once a process."""

    ontology: Ontology
    model: RelationModel
    bookmarks: BookmarkConfig
    places: dict[str, Place]
    splits: dict[str, str]
    lemmatizer: LemmatizerName
    ontology_path: Path | None

    @cached_property
    def pipeline(self) -> Language:
        """The spaCy pipeline; NLTK and WordNet take seconds to load, so only when needed."""
        path = str(self.ontology_path) if self.ontology_path else None
        pipeline = load_pipeline(ontology=path, lemmatizer=self.lemmatizer)
        gc.collect()
        gc.freeze()  # or the collector walks through models and vocabularies all the time
        return pipeline

    @cached_property
    def recipe(self) -> dict[str, str]:
        """All that the rows depend on, besides the reports."""
        return {
            "lesionary": version("lesionary"),
            "ontology": self.ontology.digest,
            "relations": self.model.digest,
            "lemmatizer": self.lemmatizer,
            "hyperlinks": digest_of(*self.bookmarks.hyperlinks).hex(),
            "lesions": digest_of(repr(sorted(self.places.items()))).hex() if self.places else "",
            "splits": digest_of(repr(sorted(self.splits.items()))).hex() if self.splits else "",
        }


def load_tools(config: MineConfig) -> Tools:
    """The tools that a configuration asks for; the second call costs nothing."""
    return _load_tools(
        config.ontology,
        config.relations,
        config.precision,
        config.lemmatizer,
        config.lesions,
        config.splits,
        config.hyperlinks,
    )


@lru_cache(maxsize=2)
def _load_tools(
    ontology: Path | None,
    relations: str,
    precision: float | None,
    lemmatizer: LemmatizerName,
    lesions: Path | None,
    splits: Path | None,
    hyperlinks: tuple[str, ...],
) -> Tools:
    bookmarks = BookmarkConfig(hyperlinks=hyperlinks)
    may_hold_bookmarks("", bookmarks)  # a broken pattern is found here, before any work
    if relations != "rules":
        import torch

        torch.set_num_threads(1)  # the arrays are small: on a busy machine threads only wait
    return Tools(
        ontology=Ontology.from_csv(ontology),
        model=load_model(relations, precision=precision),
        bookmarks=bookmarks,
        places=read_lesion_table(lesions) if lesions else {},
        splits=read_split_table(splits) if splits else {},
        lemmatizer=resolve_lemmatizer(lemmatizer),
        ontology_path=ontology,
    )


def _check_dataset(config: MineConfig) -> Manifest:
    """Refuse to add to a dataset of other labels or other splits."""
    tools = load_tools(config)
    manifest = read_manifest(config.out)
    if not manifest.batches:
        return manifest
    if manifest.labels != tools.ontology.labels:
        raise InputError(
            f"{config.out} was mined with other labels ({len(manifest.labels)}) than this ontology "
            f"has ({len(tools.ontology.labels)}). Use the same --ontology, or choose another --out."
        )
    if manifest.recipe["splits"] != tools.recipe["splits"]:
        raise InputError(
            f"{config.out} was split by another --splits table; a patient could end up in two "
            "splits. Use the same table, or choose another --out."
        )
    return manifest


def _unseen(
    records: Iterable[Report | Rejected],
    seen: dict[bytes, bytes],
    rejected: list[Rejected],
    tally: Counter[str],
) -> Iterator[Report]:
    """The reports to mine; the others are tallied or noted as rejected."""
    for record in records:
        if isinstance(record, Rejected):
            rejected.append(record)
            continue
        content = _report_digest(record)
        before = seen.setdefault(_report_key(record), content)
        if before is content:
            tally["fresh"] += 1
            yield record
        elif before == content:
            tally["known"] += 1
        else:
            reason = "its report_id belongs to another report that was read before"
            rejected.append(Rejected(file=record.file, line=record.line, reason=reason))


def _report_key(report: Report) -> bytes:
    return digest_of(report.report_id)


def _report_digest(report: Report) -> bytes:
    return digest_of(report.patient_id, report.study_id, report.text, *report.lesion_ids)


def _group(reports: Iterable[Report], config: MineConfig) -> Iterator[list[Report]]:
    group: list[Report] = []
    characters = 0
    for report in reports:
        group.append(report)
        characters += len(report.text)
        if len(group) >= config.batch_reports or characters >= config.batch_characters:
            yield group
            group, characters = [], 0
    if group:
        yield group


_REPORT_FIELDS: Final = ("report_id", "patient_id", "study_id", "text", "lesion_ids")


def _stage(reports: list[Report], staging: Path, config: MineConfig) -> Path:
    """Write a batch's reports to a file named by their digest and the recipe's."""
    import pyarrow as pa
    from pyarrow import parquet

    recipe = digest_of(*chain(*sorted(load_tools(config).recipe.items())))
    content = hashlib.blake2b(recipe, digest_size=8)
    for report in reports:
        content.update(_report_key(report) + _report_digest(report))
    staging.mkdir(parents=True, exist_ok=True)
    path = staging / f"{content.hexdigest()}.parquet"
    columns = {name: [getattr(r, name) for r in reports] for name in _REPORT_FIELDS}
    columns["lesion_ids"] = pa.array(columns["lesion_ids"], pa.list_(pa.string()))
    parquet.write_table(pa.table(columns), path)
    return path


def read_staged(path: Path) -> Iterator[Report]:
    """The reports of a staged batch."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as table:
        for group in table.iter_batches(batch_size=200):
            for row in group.to_pylist():
                yield Report(**{**row, "lesion_ids": tuple(row["lesion_ids"])})


def _tidy(out: Path, manifest: Manifest) -> None:
    """Remove what killed runs left behind: staged reports, shards that were never committed."""
    shutil.rmtree(out / STAGING, ignore_errors=True)
    digests = {batch.digest for batch in manifest.batches}
    for folder in (out / "data", out / "index"):
        for path in folder.glob("*"):
            if path.stem.rpartition("-")[2] not in digests or path.name.startswith("."):
                path.unlink()


def _nothing_usable(config: MineConfig, rejected: list[Rejected]) -> str:
    if not rejected:
        return "The input holds no report."
    return (
        f"None of the {len(rejected)} records can be used; the first: {rejected[0].reason}. "
        f"All reasons: {config.out / 'rejected.jsonl'}."
    )
