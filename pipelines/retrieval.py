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
    told, *found = _tell(shelves, home, row, hits)
    if page is not None:
        _write_page(page, shelves, dataset, [(home, row, hits)], {"model": model.resolve().name})
    return {"query": told, "k": k, "retrieved": found}


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
    asking, asked, labels = _labelled(_shelf(shelves, queries, dataset))
    home, there, known = _labelled(_shelf(shelves, split, dataset))
    own, patients = _patients(asking, asked), _patients(home, there)
    index = ExactIndex(home.vectors[there], patients)
    found = index.search(asking.vectors[asked], own, k)
    if not (found.rows >= 0).any():
        raise InputError(
            f"{dataset} has no labelled lesion in '{queries}' with one of another patient in "
            f"'{split}'. Choose other splits."
        )
    scores = score_retrieval(torch.from_numpy(found.rows), labels, known, own, patients)
    result = {"k": k, "queries": len(asked), "searched": len(there), **asdict(scores)}
    if page is not None:
        some = range(0, len(asked), -(-len(asked) // MAX_QUERIES))
        shown = [
            (asking, asked[i], _hits(home, found.distances[i], found.rows[i], there)) for i in some
        ]
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
    return _hits(shelf, distances[0], rows[0], range(len(shelf.lesions)))


def _hits(shelf: Shelf, distances: Any, rows: Any, places: Sequence[int]) -> list[Hit]:
    """What an index found, where `places` are the rows of the lesions that are in it."""
    pairs = zip(distances.tolist(), rows.tolist(), strict=True)
    return [Hit(distance, shelf.split, places[row]) for distance, row in pairs if row >= 0]


def _positive(shelf: Shelf, rows: Sequence[int]) -> Tensor:
    """The labels that a report says of lesions, and what lies above them. Shape: (n, C), bool."""
    return shelf.lesions.space.expand(shelf.lesions.relevant[rows])


def _labelled(shelf: Shelf) -> tuple[Shelf, list[int], Tensor]:
    """The rows of the lesions that have a label, and their labels. Shape: (rows, C), bool."""
    rows = shelf.lesions.relevant.any(1).nonzero().flatten().tolist()
    return shelf, rows, _positive(shelf, rows)


def _patients(shelf: Shelf, rows: Sequence[int]) -> list[str]:
    patients = shelf.lesions.patient_ids
    return [patients[row] for row in rows]


def _tell(shelves: Shelves, home: Shelf, row: int, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """What the command prints of a query and, after it, of the lesions that were found."""
    from vision.retrieval import pair_gains

    names = home.lesions.space.names
    own = _positive(home, [row])
    told = [_told(home, row, own)]
    for hit in hits:
        shelf = shelves[hit.split]
        labels = _positive(shelf, [hit.row])
        more = {
            "distance": hit.distance,
            "similarity": pair_gains(own, labels)[1].item(),
            "common": _named(own & labels, names),
        }
        told.append({**_told(shelf, hit.row, labels), **more})
    return told


def _told(shelf: Shelf, row: int, labels: Tensor) -> dict[str, Any]:
    lesions = shelf.lesions
    return {
        "lesion_id": lesions.lesion_ids[row],
        "split": shelf.split,
        "labels": _named(labels, lesions.space.names),
    }


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
    rows = [
        [
            {**lesion, **_looks(shelves[split], place, sentences[split][place])}
            for lesion, (split, place) in zip(
                _tell(shelves, home, row, hits), [(home.split, row), *(h[1:] for h in hits)],
                strict=True,
            )
        ]
        for home, row, hits in shown
    ]  # fmt: skip
    values = {"acg": None, "dataset": dataset.resolve().name, "rows": rows, **result}
    try:
        write_text(path, render("retrieval.html", **values))
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
