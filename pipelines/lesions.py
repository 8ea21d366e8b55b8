"""Lesion datasets: imported from DeepLesion, or prepared from what was mined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from nlp.ontology import Ontology
from nlp.store import label_space
from vision.cutting import Cut, cut_patches
from vision.deeplesion import (
    DlRow,
    PublishedLabels,
    check_numbering,
    keep_patients_together,
    lesions_of,
    patients_in_several_splits,
    read_dl_info,
    read_published_labels,
)
from vision.errors import InputError
from vision.labels import LabelSpace, check_label_names
from vision.mined import merge_bookmarks, read_mined_rows
from vision.rows import LISTS, Lesion, Rejected, new_folder, write_lesions, write_rejected

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Where DeepLesion's images and tables are, and where its lesions go.

    Without `labels`, lesions keep DeepLesion's own splits and have no labels. `split_by_patient`
    puts the lesions of a patient who is in several published splits into one of them.
    """

    images: Path
    dl_info: Path
    out: Path
    labels: Path | None = None
    ontology: Path | None = None
    split_by_patient: bool = False
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """A mined dataset, the folder of its images, and where its lesions go."""

    dataset: Path
    images: Path
    out: Path
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class LesionResult:
    """What a run wrote: lesions of each split, label instances by list, rejected ones by reason."""

    dataset: Path
    splits: dict[str, int]
    labels: dict[str, int]
    reasons: dict[str, int]


def import_deeplesion(config: ImportConfig, say: Say = print) -> LesionResult:
    """Make a lesion dataset of DeepLesion's images, with the published labels if given.

    Raises:
        InputError: If a table can't be used, or no lesion can; nothing is written then.
    """
    ontology = Ontology.from_csv(config.ontology)
    rows = read_dl_info(config.dl_info)
    labels = _published_labels(config, rows, ontology)
    items: Iterable[Lesion | Rejected] = list(lesions_of(rows, labels, config.dl_info))
    say(_told_rows(rows, labels))
    lesions = [item for item in items if isinstance(item, Lesion)]
    if torn := patients_in_several_splits(lesions):
        say(_told_torn(torn, together=config.split_by_patient))
    if config.split_by_patient:
        items = keep_patients_together(items)
    return _write(items, config.images, config.out, label_space(ontology), config.workers)


def prepare_lesions(config: PrepareConfig, say: Say = print) -> LesionResult:
    """Make a lesion dataset of a mined one: bookmarks merged by lesion, patches cut.

    Raises:
        InputError: If the dataset can't be used, or no lesion can; nothing is written then.
    """
    names, rows = read_mined_rows(config.dataset)
    space = _label_space(config.dataset, names)
    items = list(merge_bookmarks(rows, names))
    found = sum(isinstance(item, Lesion) for item in items)
    say(f"{len(rows):,} bookmarks point to {found:,} lesions with a place in an image.")
    return _write(items, config.images, config.out, space.to_json(), config.workers)


def _published_labels(
    config: ImportConfig, rows: Sequence[DlRow], ontology: Ontology
) -> dict[int, PublishedLabels] | None:
    if config.labels is None:
        return None
    names, labels = read_published_labels(config.labels)
    if strange := sorted(set(names) ^ set(ontology.labels)):
        where = "the label file" if strange[0] in names else "the ontology"
        raise InputError(
            f"{config.labels} has other labels than the ontology {ontology.source}: "
            f"'{strange[0]}'{f' and {len(strange) - 1} more' if len(strange) > 1 else ''} in "
            f"{where} only. Give the ontology of these labels with --ontology."
        )
    check_numbering(rows, labels, config.dl_info)
    return labels


def _label_space(dataset: Path, names: Sequence[str]) -> LabelSpace:
    path = dataset / "labels.json"
    if not path.exists():
        raise InputError(
            f"{dataset} has no labels.json: it was mined by an older version. Run 'lesionary mine' "
            "on the same reports once more; that adds the file and mines nothing anew."
        )
    space = LabelSpace.from_json(path)
    check_label_names(
        space.names, names, what=str(path), than="the dataset's rows", advice="Mine it anew."
    )
    return space


def _write(
    items: Iterable[Lesion | Rejected],
    images: Path,
    out: Path,
    space: Mapping[str, Any],
    workers: int,
) -> LesionResult:
    """Cut the patches and write the dataset in one step."""
    rejected: list[Rejected] = []
    labels: Counter[str] = Counter(dict.fromkeys(LISTS, 0))
    lesions = list(_accepted(items, rejected))
    with new_folder(out) as folder:
        cuts = _accepted(
            _progress(cut_patches(lesions, images, workers=workers), lesions), rejected
        )
        splits = write_lesions(_counted(cuts, labels), folder, space)
        reasons = Counter(record.reason for record in rejected)
        if not sum(splits.values()):
            raise InputError(_nothing_usable(reasons))
        write_rejected(rejected, folder)
    return LesionResult(dataset=out, splits=splits, labels=dict(labels), reasons=dict(reasons))


def _accepted(items: Iterable[T | Rejected], rejected: list[Rejected]) -> Iterator[T]:
    """All but the rejected lesions, which are put on the list."""
    for item in items:
        if isinstance(item, Rejected):
            rejected.append(item)
        else:
            yield item


def _counted(cuts: Iterable[Cut], labels: Counter[str]) -> Iterator[Cut]:
    for lesion, patch in cuts:
        labels.update({name: len(getattr(lesion, name)) for name in LISTS})
        yield lesion, patch


def _progress(cuts: Iterable[T], lesions: Sequence[Lesion]) -> Iterator[T]:
    """Show a bar of the lesions, where someone can see it."""
    yield from tqdm(cuts, total=len(lesions), unit=" lesions", desc="Patches", disable=None)


def _told_rows(rows: Sequence[DlRow], labels: Mapping[int, PublishedLabels] | None) -> str:
    noisy = sum(row.noisy for row in rows)
    told = f"{len(rows):,} rows, {noisy:,} of them noisy and left out"
    if any("lesion_idx" in row.cells for row in rows):
        told += "; numbered by the column lesion_idx"
    if labels is None:
        return f"{told}. No --labels, so lesions have none, and DeepLesion's own splits."
    without = sum(not row.noisy and row.number not in labels for row in rows)
    return f"{told}; {without:,} without published labels, left out."


def _told_torn(torn: Mapping[str, Mapping[str, int]], *, together: bool) -> str:
    """Say that patients stand in several splits, without naming them."""
    splits: Counter[str] = Counter()
    for counts in torn.values():
        splits.update(counts)
    lesions = ", ".join(f"{count} in {split}" for split, count in splits.items())
    done = (
        "put into the split with most of them."
        if together
        else "kept as published (--split-by-patient puts them into one)."
    )
    patients = "1 patient is" if len(torn) == 1 else f"{len(torn)} patients are"
    return f"{patients} in several splits, with lesions {lesions}: {done}"


def _nothing_usable(reasons: Counter[str]) -> str:
    if not reasons:
        return "There is no lesion to write: no row has published labels."
    (reason, count), *_ = reasons.most_common(1)
    return f"None of the {reasons.total():,} lesions can be used; {count:,} times: {reason}."
