"""The report on a trained network: tables, figures, and the gallery of its results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipelines.gallery import DEFAULT_LESIONS, write_gallery
from pipelines.lesanet import gold_positives, label_frequencies, read_gold, thresholds_of
from pipelines.rendering import render
from pipelines.tables import (
    Source,
    averages_table,
    bins_table,
    by_class_and_frequency,
    label_table,
    markdown_table,
)
from vision.errors import InputError
from vision.run_folder import write_file, write_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor

    from vision.data import LesionDataset
    from vision.labels import LabelSpace

__all__ = ["ReportConfig", "write_report"]

Say = Callable[[str], None]
CURVES: Final = 12  # labels whose curves are drawn, unless some are chosen


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What to report on, and where.

    Attributes:
        model: The model's folder.
        dataset: A lesion dataset with the model's labels.
        out: The report's folder; files of an earlier report are replaced.
        split: Which lesions.
        gold: A CSV with `lesion_id` and `labels`, joined with "|": a second label source.
        labels: Whose curves to draw; by default the 12 with the most positives.
        lesions: The most lesions in the gallery; 0 for all.
    """

    model: Path
    dataset: Path
    out: Path
    split: str = "test"
    gold: Path | None = None
    labels: tuple[str, ...] = ()
    lesions: int = DEFAULT_LESIONS


def write_report(config: ReportConfig, *, say: Say = print) -> dict[str, Any]:
    """Write the tables, figures and gallery on a network; return their figures.

    Files: `report.md`, which shows them all; `gallery.html`; in `mined/` and, with gold labels,
    `gold/`: `per_label`, `averages`, `calibration` (.csv, some also .md) and the figures; beside
    them what needs no test lesions: `label_frequency` and `propagation`.

    Args:
        config: See there.
        say: Takes a line on each part of the work.

    Returns:
        - sources: for `mined` and `gold`: as `LabelScores.to_json` gives them, and `calibration`,
          see `_calibration`; per_label also has `average_precision` and `calibration_error`.
        - propagation: `vision.propagation.agreement`, None for a network without the layer.
        - report, gallery: paths.

    Raises:
        InputError: If model, dataset or table can't be read, a chosen label is none, or the folder
            can't be written.
    """
    import torch

    from vision.data import LesionDataset
    from vision.lesanet import check_labels, load_model
    from vision.prediction import predict

    network: Any = load_model(config.model)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    lesions = LesionDataset(config.dataset, config.split)
    check_labels(network.config, lesions.space.names)
    _check_chosen(config.labels, lesions.space)
    frequencies = _frequencies(config.dataset)
    known = {"mined": _mined(lesions)}
    if config.gold is not None:
        rows, positive = gold_positives(read_gold(config.gold), lesions)
        known["gold"] = (rows, positive, torch.ones_like(positive))
    _make_folder(config.out)

    say(f"Scoring {len(lesions):,} lesions ({config.split}).")
    thresholds = torch.tensor(thresholds_of(network), dtype=torch.float64)
    probabilities = predict(network, lesions)["probabilities"]
    sources = [
        _source(name, lesions.space, probabilities, thresholds, frequencies, *parts)
        for name, parts in known.items()
    ]
    say("Drawing figures.")
    written = {s.name: write_source(s, config.out / s.name, chosen=config.labels) for s in sources}
    result = {"sources": written, **_write_whole(network, lesions.space, frequencies, config.out)}
    say("Writing the gallery.")
    gallery = write_gallery(
        config.out / "gallery.html",
        lesions,
        sources,
        thresholds,
        dataset=config.dataset,
        split=config.split,
        model=config.model.name,
        most=config.lesions,
    )
    report = config.out / "report.md"
    write_text(report, render("report.md", config=config, result=result, shown=_shown(config.out)))
    return {**result, "report": str(report), "gallery": str(gallery)}


def _mined(lesions: LesionDataset) -> tuple[list[int], Tensor, Tensor]:
    """The lesions of which a report says something: their rows, and what is positive and known."""
    from vision.targets import targets_of

    targets = targets_of(
        lesions.relevant, lesions.uncertain, lesions.irrelevant, lesions.space, positives="R"
    )
    rows = targets.positive.any(1).nonzero().flatten().tolist()
    return rows, targets.positive[rows], targets.known[rows]


def _source(
    name: str,
    space: LabelSpace,
    probabilities: Tensor,
    thresholds: Tensor,
    frequencies: Tensor | None,
    rows: list[int],
    positive: Tensor,
    known: Tensor,
) -> Source:
    from vision.metrics import evaluate_labels

    scores = evaluate_labels(
        probabilities[rows], positive, known, thresholds, space, training_positives=frequencies
    )
    return Source(
        name=name,
        rows=rows,
        probabilities=probabilities[rows],
        positive=positive,
        known=known,
        scores=scores,
    )


def write_source(source: Source, folder: Path, *, chosen: Sequence[str] = ()) -> dict[str, Any]:
    """Write the tables and figures for one source of labels; return its scores."""
    _make_folder(folder)
    table = label_table(source)
    _write_table(folder / "per_label", by_class_and_frequency(table), markdown=True)
    _write_table(folder / "averages", averages_table(source.scores), markdown=True)
    bins = _calibrations(source)
    _write_table(folder / "calibration", bins_table(bins))
    for name, figure in _figures(source, table, bins, chosen):
        _write_figure(folder / name, figure)
    result = source.scores.to_json()
    for label, row in result["per_label"].items():
        for key in ("average_precision", "calibration_error"):
            row[key] = _number(table.loc[label, key])
    return {**result, "calibration": _calibration(source, bins)}


def _calibrations(source: Source) -> dict[str, Any]:
    """The bins of all pairs, and of those of each class."""
    from vision.curves import calibration

    kinds = source.scores.table["class"].to_numpy()
    masks = {"all": kinds == kinds, **{kind: kinds == kind for kind in dict.fromkeys(kinds)}}
    values = (source.probabilities, source.positive, source.known)
    return {name: calibration(*(v[:, mask] for v in values)) for name, mask in masks.items()}


def _calibration(source: Source, bins: Mapping[str, Any]) -> dict[str, Any]:
    """`ece` over all pairs, `ece_by_class`, and `ece_by_label`, the plain mean over labels."""
    from vision.curves import mean_calibration_error

    errors = {name: _number(found.error) for name, found in bins.items()}
    mean = mean_calibration_error(source.probabilities, source.positive, source.known)
    return {"ece": errors.pop("all"), "ece_by_class": errors, "ece_by_label": _number(mean)}


def _figures(
    source: Source, table: pd.DataFrame, bins: Mapping[str, Any], chosen: Sequence[str]
) -> Iterator[tuple[str, Figure]]:
    from vision import curve_figures, figures
    from vision.curves import label_curves

    scored = source.scores.scored.sort_values("positives", ascending=False, kind="stable")
    names = [str(n) for n in (chosen or scored.index[:CURVES])]
    places = [table.index.get_loc(name) for name in names]
    found = {
        name: curves
        for name, c in zip(names, places, strict=True)
        if (curves := label_curves(
            source.probabilities[:, c], source.positive[:, c], source.known[:, c]))
    }  # fmt: skip
    classes = dict(zip(names, table.loc[names, "class"], strict=True))
    thresholds = dict(zip(names, table.loc[names, "threshold"], strict=True))
    yield "auc.png", figures.draw_auc(table)
    if "training_positives" in table:
        yield "frequency_subsets.png", figures.draw_frequency_subsets(table)
    yield "roc.png", curve_figures.draw_rocs(found, classes, thresholds)
    yield "precision_recall.png", curve_figures.draw_precision_recalls(found, classes, thresholds)
    yield "calibration.png", curve_figures.draw_calibration(bins)


def _write_whole(
    network: Any, space: LabelSpace, frequencies: Tensor | None, out: Path
) -> dict[str, Any]:
    """Write label frequencies and propagation weights; return how the latter agree."""
    import pandas as pd

    from vision.figures import draw_label_frequency
    from vision.heatmap import draw_propagation
    from vision.propagation import agreement, propagation_pairs, propagation_weights, strongest

    if frequencies is not None:
        counts = pd.DataFrame(
            {"class": space.classes, "training_positives": frequencies.tolist()},
            index=pd.Index(space.names, name="label"),
        ).sort_values("training_positives", ascending=False, kind="stable")
        _write_table(out / "label_frequency", counts)
        _write_figure(out / "label_frequency.png", draw_label_frequency(counts))
    weights = propagation_weights(network)
    if weights is None:
        return {"propagation": None}
    pairs = propagation_pairs(weights, space)
    listed = pd.concat(strongest(pairs), ignore_index=True)
    listed["agrees"] = listed["agrees"].map({True: "yes", False: "no"}, na_action="ignore")
    _write_table(out / "propagation", listed.set_index("source"), markdown=True)
    _write_figure(out / "propagation.png", draw_propagation(weights, space, pairs))
    return {"propagation": agreement(pairs)}


def _frequencies(dataset: Path) -> Tensor | None:
    """The labels' frequencies in training, where the dataset has that part."""
    from vision.data import LesionDataset
    from vision.rows import shards_of

    if "train" not in shards_of(dataset):
        return None
    return label_frequencies(LesionDataset(dataset, "train"))


def _check_chosen(labels: Sequence[str], space: LabelSpace) -> None:
    for name in labels:
        if name not in space.names:
            raise InputError(
                f"There is no label '{name}' in the dataset. 'lesionary lesanet evaluate' lists "
                "its labels."
            )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Can't write into {folder}: {error.strerror or error}. Give another --out."
        ) from error


def _write_table(path: Path, table: pd.DataFrame, *, markdown: bool = False) -> None:
    write_text(path.with_suffix(".csv"), table.to_csv(float_format="%.6g", lineterminator="\n"))
    if markdown:
        write_text(path.with_suffix(".md"), markdown_table(table))


def _write_figure(path: Path, figure: Figure) -> None:
    write_file(path, partial(figure.savefig, format="png"))


def _shown(out: Path) -> set[str]:
    """The files that there are to show, relative to the report."""
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
