"""The card of a trained LesaNet: what it learned from, and how well it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.rendering import render
from vision.run_folder import write_text


def write_card(folder: Path, scores: dict[str, Any], dataset: str) -> None:
    """Write `README.md`.

    Args:
        folder: The model's.
        scores: As `pipelines.lesanet.train_lesanet` returns them.
        dataset: The name of what it was trained on.
    """
    card = render(
        "lesanet_card.md",
        dataset=dataset,
        scores=scores,
        config=scores["config"],
        kept=_kept(scores["history"]),
        averages=list(_averages(scores)),
    )
    write_text(folder / "README.md", card)


def _kept(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The epoch whose weights were kept: the first of the best, or the last if none is scored."""
    scored = [row for row in history if row["validation_f1"] is not None]
    return max(scored, key=lambda row: float(row["validation_f1"]), default=history[-1])


def _averages(scores: dict[str, Any]) -> Iterator[list[str]]:
    """A row of the card's table for all labels, for each class and for each frequency."""
    rows = {"all labels": scores, **scores["by_class"]}
    rows |= {f"{name} in training": row for name, row in scores["by_frequency"].items()}
    for name, row in rows.items():
        figures = (row[key] for key in ("auc", "precision", "recall", "f1"))
        shown = ("-" if value is None else f"{value:.3f}" for value in figures)
        yield [name, *shown, str(row["labels_scored"])]
