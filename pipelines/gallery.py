"""The gallery: a self-contained HTML page with lesions, their labels and their sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from tqdm import tqdm

from pipelines.rendering import render
from vision.run_folder import write_text

if TYPE_CHECKING:
    from torch import Tensor

    from vision.data import LesionDataset
    from vision.labels import LabelSpace

DEFAULT_LESIONS: Final = 300
SIGNS: Final = {
    "tp": ("✓", "right"),
    "fp": ("✕", "wrong"),
    "fn": ("○", "missed"),
    "open": ("?", "predicted, but uncertain in the report"),
}
SOURCES: Final = {"mined": "labels mined from the report", "gold": "gold labels"}


class Labelled(Protocol):
    """Scores of N lesions and what is known of them; see `pipelines.figures.Source`."""

    @property
    def name(self) -> str: ...
    @property
    def rows(self) -> list[int]: ...
    @property
    def probabilities(self) -> Tensor: ...
    @property
    def positive(self) -> Tensor: ...
    @property
    def known(self) -> Tensor: ...


class Chip(NamedTuple):
    """A label of a lesion: how it was decided, its score, and whether it is the finest such."""

    kind: str
    term: str
    score: float
    finest: bool


def write_gallery(
    path: Path,
    lesions: LesionDataset,
    sources: Sequence[Labelled],
    thresholds: Tensor,
    *,
    dataset: Path,
    split: str,
    model: str,
    most: int = DEFAULT_LESIONS,
) -> Path:
    """Write the page. It quotes sentences and shows patients, and needs no network.

    Args:
        path: The file, replaced if it is there.
        lesions: The lesions of the split.
        sources: What is known of them, by one or two sources of labels.
        thresholds: From which score each label is predicted. Shape: (C,).
        dataset: The folder of the lesions, for their sentences.
        split: Which lesions they are.
        model: The model's name.
        most: The most lesions to show, evenly spread over those that there are; 0 for all.

    Raises:
        InputError: If the sentences can't be read, or the file not be written.
    """
    from vision.data import sentences_of

    chips = {source.name: decided(source, thresholds, lesions.space) for source in sources}
    rows = sorted({row for of_source in chips.values() for row in of_source})
    shown = spread(rows, most)
    sentences, ids = sentences_of(dataset, split), lesions.lesion_ids
    page = render(
        "gallery.html",
        model=model,
        split=split,
        signs=SIGNS,
        sources={name: SOURCES[name] for name in chips},
        counts={name: _counts(of_source) for name, of_source in chips.items()},
        total=len(rows),
        labels=_labels_of(chips, shown),
        lesions=[
            {
                "id": ids[row],
                "picture": _picture(lesions, row),
                "sentences": list(dict.fromkeys(sentences[row])),
                "chips": {name: of[row] for name, of in chips.items() if row in of},
            }
            for row in tqdm(shown, desc="gallery", unit=" lesions", disable=None, leave=False)
        ],
    )
    write_text(path, page)
    return path


def decided(source: Labelled, thresholds: Tensor, space: LabelSpace) -> dict[int, list[Chip]]:
    """How each label of each lesion was decided, by the lesion's row.

    A label is predicted from its threshold on, and so is what lies above it. Of the labels decided
    alike, those are the finest that lie above no other. Right ones come first, the surest first.
    """
    from vision.metrics import predict_labels

    predicted = space.expand(predict_labels(source.probabilities, thresholds))
    positive, known = source.positive & source.known, source.known
    masks = {
        "tp": predicted & positive,
        "fp": predicted & known & ~positive,
        "fn": ~predicted & positive,
        "open": predicted & ~known,
    }
    found: dict[int, list[Chip]] = {row: [] for row in source.rows}
    for kind, mask in masks.items():
        finest = space.finest(mask)
        places = mask.nonzero().tolist()
        places.sort(key=lambda place: -float(source.probabilities[place[0], place[1]]))
        for n, c in places:
            score = float(source.probabilities[n, c])
            found[source.rows[n]].append(Chip(kind, space.names[c], score, bool(finest[n, c])))
    return found


def spread(rows: Sequence[int], most: int) -> list[int]:
    """Some of the rows, evenly spread, in their order; all if `most` is 0.

    Example:
        >>> spread([1, 2, 3, 4, 5, 6], 3), spread([1, 2], 3), spread([1, 2], 0)
        ([1, 3, 5], [1, 2], [1, 2])
    """
    if not most or len(rows) <= most:
        return list(rows)
    return [rows[place * len(rows) // most] for place in range(most)]


def _counts(of_source: dict[int, list[Chip]]) -> dict[str, int]:
    """How many pairs were decided in each way, coarse labels included."""
    counts = dict.fromkeys(SIGNS, 0)
    for chip in _all(of_source):
        counts[chip.kind] += 1
    return counts


def _labels_of(chips: dict[str, dict[int, list[Chip]]], shown: Sequence[int]) -> list[str]:
    """The labels on the page."""
    wanted = set(shown)
    parts = ({row: c for row, c in of.items() if row in wanted} for of in chips.values())
    return sorted({chip.term for part in parts for chip in _all(part)})


def _all(of_source: dict[int, list[Chip]]) -> Iterator[Chip]:
    for of_lesion in of_source.values():
        yield from of_lesion


def _picture(lesions: LesionDataset, row: int) -> str:
    from vision.pictures import data_uri, patch_png

    return data_uri(patch_png(lesions.patch(row), lesions.boxes_px[row].tolist()))
