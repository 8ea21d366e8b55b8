"""Find lesions that look alike, and score how much they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vision.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vision.embeddings import Shelf

Say = Callable[[str], None]
Shelves = Mapping[str, "Shelf"]
MAX_QUERIES: Final = 30  # on a page


class Hit(NamedTuple):
    """A retrieved lesion: its distance from the query, its split, its row there."""

    distance: float
    split: str
    row: int


def retrieve_lesions(
    model: Path,
    dataset: Path,
    query: str,
    *,
    k: int = 5,
    split: str | None = None,
    page: Path | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Find the lesions of other patients that are most like a lesion, by a network's embeddings.

    Args:
        model: The model's folder, which keeps the embeddings.
        dataset: A lesion dataset with the model's labels.
        query: The `lesion_id` of one of its lesions.
        k: How many to find.
        split: Where to look; by default among all lesions of the dataset.
        page: Where to write a page with patches and report sentences.
        say: Takes a line when embeddings are computed.

    Returns:
        - query: its `lesion_id`, `split` and `labels`, ancestors included.
        - k: as asked.
        - retrieved: the same of each lesion found, the nearest first, with its `distance`, the
          labels in `common` with the query, and the `similarity` of the labels.

    Raises:
        InputError: If model or dataset can't be read, there is no such lesion or split, or no
            lesion of another patient, or the page can't be written.
    """
    from vision.embeddings import open_shelves

    shelves = open_shelves(model, dataset, say=say)
    home, row = _find(query, shelves, dataset)
    among = list(shelves) if split is None else [_shelf(shelves, split, dataset).split]
    hits = sorted(hit for name in among for hit in _search(shelves[name], home, row, k))[:k]
    if not hits:
        raise InputError(f"{dataset} has no lesion of another patient to find there.")
    told = _tell(shelves, home, row, hits)
    if page is not None:
        _write_page(page, shelves, dataset, [(home, row, hits)], {"model": model.resolve().name})
    return {"query": told["query"], "k": k, "retrieved": told["retrieved"]}


def score_lesion_retrieval(
    model: Path,
    dataset: Path,
    *,
    k: int = 5,
    queries: str = "test",
    split: str = "train",
    page: Path | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Retrieve lesions of a split for each lesion of another, and count their common labels.

    Lesions without a label that is relevant are left out on both sides, as in scoring.

    Args:
        model: The model's folder, which keeps the embeddings.
        dataset: A lesion dataset with the model's labels.
        k: How many to find for each.
        queries: The split of the queries.
        split: Where to look.
        page: Where to write a page with some of the queries, evenly spaced over the split.
        say: Takes a line when embeddings are computed.

    Returns:
        The fields of `vision.retrieval.RetrievalScores`, and `k`, `queries`, `searched`: how many
        lesions asked, and how many were there to be found.

    Raises:
        InputError: As `retrieve_lesions`.
    """
    import torch

    from vision.embeddings import open_shelves
    from vision.indexes import ExactIndex
    from vision.retrieval import score_retrieval

    shelves = open_shelves(model, dataset, say=say)
    asking, home = (_shelf(shelves, name, dataset) for name in (queries, split))
    (asked, there), (labels, known) = zip(*(_labelled(s) for s in (asking, home)), strict=True)
    patients, own = ([s.lesions.patient_ids[i] for i in rows.tolist()]
                     for s, rows in ((home, there), (asking, asked)))  # fmt: skip
    index = ExactIndex(home.vectors[there.numpy()], patients)
    found = index.search(asking.vectors[asked.numpy()], own, k)
    if not (found.rows >= 0).any():
        raise InputError(
            f"{dataset} has no labelled lesion in '{queries}' with one of another patient in "
            f"'{split}'. Choose other splits."
        )
    scores = score_retrieval(torch.from_numpy(found.rows), labels, known, own, patients)
    result = {"k": k, "queries": len(asked), "searched": len(there), **asdict(scores)}
    if page is not None:
        step = max(-(-len(asked) // MAX_QUERIES), 1)
        shown = [
            (asking, int(asked[i]), [
                Hit(float(distance), split, int(there[row]))
                for distance, row in zip(found.distances[i], found.rows[i], strict=True) if row >= 0
            ])
            for i in range(0, len(asked), step)
        ]  # fmt: skip
        _write_page(page, shelves, dataset, shown, {"model": model.resolve().name, **result})
    return result


def _find(query: str, shelves: Shelves, dataset: Path) -> tuple[Shelf, int]:
    for shelf in shelves.values():
        ids = shelf.lesions.lesion_ids
        if query in ids:
            return shelf, ids.index(query)
    raise InputError(
        f"{dataset} has no lesion '{query}'. The ids are in the column lesion_id of its data files."
    )


def _shelf(shelves: Shelves, split: str, dataset: Path) -> Shelf:
    if split not in shelves:
        raise InputError(
            f"{dataset} has no lesions in the split '{split}', only in {', '.join(shelves)}."
        )
    return shelves[split]


def _search(shelf: Shelf, home: Shelf, row: int, k: int) -> list[Hit]:
    """The nearest lesions of a shelf."""
    patient = home.lesions.patient_ids[row]
    distances, rows = shelf.index.search(home.vectors[[row]], [patient], k)
    pairs = zip(distances[0].tolist(), rows[0].tolist(), strict=True)
    return [Hit(distance, shelf.split, place) for distance, place in pairs if place >= 0]


def _positive(shelf: Shelf, rows: Sequence[int] | slice = slice(None)) -> Tensor:
    """The labels that a report says of lesions, and what lies above them. Shape: (n, C), bool."""
    lesions = shelf.lesions
    return lesions.space.expand(lesions.relevant[rows])


def _labelled(shelf: Shelf) -> tuple[Tensor, Tensor]:
    """The rows of the lesions that have a label, and their labels. Shapes: (n,), (n, C)."""
    positive = _positive(shelf)
    rows = positive.any(1).nonzero().flatten()
    return rows, positive[rows]


def _tell(shelves: Shelves, home: Shelf, row: int, hits: Sequence[Hit]) -> dict[str, Any]:
    """What the command prints of a query and the lesions that were found."""
    from vision.retrieval import pair_gains

    names = home.lesions.space.names
    own = _positive(home, [row])
    told = []
    for hit in hits:
        shelf = shelves[hit.split]
        labels = _positive(shelf, [hit.row])
        told.append(
            {
                "lesion_id": shelf.lesions.lesion_ids[hit.row],
                "split": hit.split,
                "distance": hit.distance,
                "similarity": pair_gains(own, labels)[1].item(),
                "common": _named(own & labels, names),
                "labels": _named(labels, names),
            }
        )
    query = {
        "lesion_id": home.lesions.lesion_ids[row],
        "split": home.split,
        "labels": _named(own, names),
    }
    return {"query": query, "retrieved": told}


def _named(labels: Tensor, names: Sequence[str]) -> list[str]:
    return [names[i] for i in labels[0].nonzero().flatten().tolist()]


def _write_page(
    path: Path,
    shelves: Shelves,
    dataset: Path,
    shown: Sequence[tuple[Shelf, int, Sequence[Hit]]],
    result: Mapping[str, Any],
) -> None:
    """Write a gallery; it shows patches and quotes reports, and needs no network."""
    from pipelines.rendering import render
    from vision.data import sentences_of
    from vision.run_folder import write_text

    used = {home.split for home, _, _ in shown} | {h.split for *_, hits in shown for h in hits}
    sentences = {split: sentences_of(dataset, split) for split in used}
    rows = []
    for home, row, hits in shown:
        told = _tell(shelves, home, row, hits)
        lesions = [(home.split, row), *((hit.split, hit.row) for hit in hits)]
        rows.append(
            [
                {"common": [], **lesion, **_looks(shelves[split], place, sentences[split][place])}
                for lesion, (split, place) in zip(
                    [told["query"], *told["retrieved"]], lesions, strict=True
                )
            ]
        )
    try:
        write_text(path, render("retrieval.html", dataset=dataset.resolve().name, rows=rows, **{
            "k": None, "acg": None, **result}))  # fmt: skip
    except (OSError, InputError) as error:
        raise InputError(f"Can't write {path}. Give another --page.") from error


def _looks(shelf: Shelf, row: int, sentences: Sequence[str]) -> dict[str, Any]:
    """How a page shows a lesion: its patch, its finest labels, its report sentences."""
    from vision.pictures import data_uri, patch_png

    lesions = shelf.lesions
    labels = lesions.space.finest(_positive(shelf, [row]))
    return {
        "picture": data_uri(patch_png(lesions.patch(row), lesions.boxes_px[row].tolist())),
        "finest": _named(labels, lesions.space.names),
        "sentences": sentences,
    }
