"""A run in a few tables: for the terminal and for Prefect's artifact. Quotes no report text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipelines.mine import MineResult


def run_summary(result: MineResult) -> str:
    """Counts, labels, reasons for rejection and sample predictions of a run, as Markdown."""
    parts = [
        f"Dataset: `{result.dataset}`, page: `{result.page}`",
        _table("count", result.counts.items()),
        "## Most frequent relevant labels",
        _table("bookmarks", _most(result.labels, 30)),
    ]
    if result.reasons:
        parts += ["## Rejected records", _table("records", _most(result.reasons, 20))]
    if result.samples:
        parts += [
            "## Sample predictions",
            "| bookmark | label | relation | probability |\n| --- | --- | --- | ---: |\n"
            + "\n".join(
                f"| {s['bookmark']} | {s['label']} | {s['relation']} | {s['probability']:.2f} |"
                for s in result.samples
            ),
        ]
    return "\n\n".join(parts) + "\n"


def _most(counts: Mapping[str, int], number: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def _table(heading: str, rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"| {name.replace('|', '/')} | {count:,} |" for name, count in rows]
    return "\n".join([f"| | {heading} |", "| --- | ---: |", *lines])
