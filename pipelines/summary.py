"""A run or an evaluation in a few tables, for the terminal and for Prefect's artifact.

They quote no report text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nlp.records import RELATIONS
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


def score_summary(scores: Mapping[str, Any]) -> str:
    """What `pipelines.evaluation.evaluate_relations` returns, as text for the terminal."""
    parts = [_score_lines(scores), _confusion_lines(scores["confusion"]), _group_lines(scores)]
    if "end_to_end" in scores:
        parts.append(_end_to_end_lines(scores["end_to_end"]))
    return "\n\n".join("\n".join(lines) for lines in parts)


def _score_lines(scores: Mapping[str, Any]) -> Iterator[str]:
    low, high = scores["macro_f1_95"]
    yield f"{scores['pairs']:,} pairs of {scores['sentences']:,} sentences, model {scores['model']}"
    yield f"macro-F1 {scores['macro_f1']:.3f} (95 % {low:.3f} to {high:.3f})"
    yield f"accuracy {scores['accuracy']:.3f}, expected calibration error {scores['ece']:.3f}"
    if other := scores["compared_with"]:
        low, high = other["difference_95"]
        yield (
            f"{other['model']}: macro-F1 {other['macro_f1']:.3f}, so {other['difference']:+.3f} "
            f"(95 % {low:+.3f} to {high:+.3f}; not better in {other['not_better']:.1%} of draws)"
        )
    for name in (*RELATIONS, "relevant_or_uncertain"):
        yield f"{name:22} {_prf(scores[name])}"


def _prf(s: Mapping[str, float]) -> str:
    return f"P {s['precision']:.3f}  R {s['recall']:.3f}  F1 {s['f1']:.3f}"


def _confusion_lines(counts: list[list[int]]) -> Iterator[str]:
    yield f"{'gold / decided':22}" + "".join(f"{name:>12}" for name in RELATIONS)
    for name, row in zip(RELATIONS, counts, strict=True):
        yield f"{name:22}" + "".join(f"{count:12,}" for count in row)


def _group_lines(scores: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'':22}{'pairs':>12}{'macro-F1':>12}{'R or U F1':>12}"
    for key, what in (("by_class", ""), ("by_bookmarks", "bookmarks "), ("by_words", "words ")):
        for name, group in scores[key].items():
            yield f"{what + name:22}{group['pairs']:12,}" + "".join(
                f"{'-':>12}" if value is None else f"{value:12.3f}"
                for value in (group["macro_f1"], group["relevant_or_uncertain_f1"])
            )


def _end_to_end_lines(scores: Mapping[str, Any]) -> Iterator[str]:
    yield "End to end, with the bookmarks and mentions that were found:"
    for name, s in scores.items():
        missed, extra = s["missed"], s["extra"]
        yield f"{name:22} {_prf(s)}  (same terms only: {_prf(s['same_terms_only'])})"
        yield (
            f"  {s['right']:,} of {s['gold']:,} gold pairs right; missed for want of the bookmark "
            f"{missed['bookmark']:,}, of the mention {missed['mention']:,}, by the relation "
            f"{missed['relation']:,}"
        )
        yield (
            f"  {s['right']:,} of {s['found']:,} found pairs right; extra by the bookmark "
            f"{extra['bookmark']:,}, by the mention {extra['mention']:,}, by the relation "
            f"{extra['relation']:,}; {s['set_aside']:,} more set aside"
        )


def _most(counts: Mapping[str, int], number: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def _table(heading: str, rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"| {name.replace('|', '/')} | {count:,} |" for name, count in rows]
    return "\n".join([f"| | {heading} |", "| --- | ---: |", *lines])
