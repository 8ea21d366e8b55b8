"""Where the time of mining goes: seconds of each stage, reports/s, bookmarks/s, peak memory.

    python benchmarks/mining.py [REPORTS...] [--copies 1 10] [--relations cnn]

Without REPORTS, it measures the sample reports, and reports that hold nothing but their sentences
with bookmarks ("dense"). Each line is a process of its own, so that its peak memory is its own.
Copies have new ids. Start-up (imports, models, WordNet) is counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
SAMPLE = Path(__file__).parents[1] / "examples" / "reports.jsonl"
STAGES = ("read", "find", "match", "classify", "write", "commit")


class Clock:
    """Seconds of each stage by itself, though the stages are generators inside each other."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = 0.0

    def watch(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        source = iter(items)
        while True:
            begun, before = time.perf_counter(), self._inner
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                spent = time.perf_counter() - begun
                self.seconds[stage] += spent - (self._inner - before)
                self._inner = before + spent
            yield item


def measure(inputs: tuple[Path, ...], relations: str) -> dict[str, float]:
    """Mine into a throw-away folder, as `pipelines.mine.mine_reports` does, with a clock."""
    begun = time.perf_counter()
    from nlp.passages import find_passages, match_labels
    from nlp.relations import classify_relations
    from pipelines import mine

    with tempfile.TemporaryDirectory() as scratch:
        config = mine.MineConfig(inputs=inputs, out=Path(scratch) / "out", relations=relations)
        tools = mine.load_tools(config)
        tools.pipeline("Warm up: a 2 cm node.")
        ready = time.perf_counter()
        clock, counts, batches = Clock(), Counter[str](), []
        plan = mine.plan_batches(config)
        clock.seconds["read"] = time.perf_counter() - ready
        for path in plan.batches:
            count: Counter[str] = Counter()
            passages = clock.watch(
                "find", find_passages(mine.read_staged(path), tools.bookmarks, count)
            )
            mentions = clock.watch("match", match_labels(passages, tools.pipeline, count))
            related = clock.watch("classify", classify_relations(mentions, tools.model))
            inner, started = sum(clock.seconds.values()), time.perf_counter()
            batch = mine.write_rows(related, path.stem, count, config)
            inner = sum(clock.seconds.values()) - inner
            clock.seconds["write"] += time.perf_counter() - started - inner
            started = time.perf_counter()
            batches.append(mine.commit_batch(batch, config))
            clock.seconds["commit"] += time.perf_counter() - started
            counts.update(count)
        started = time.perf_counter()
        mine.finish(plan, batches, config)
        clock.seconds["commit"] += time.perf_counter() - started
    return {
        "reports": counts["reports"],
        "bookmarks": counts["bookmarks"],
        "pairs": counts["pairs"],
        "start": ready - begun,
        **{stage: clock.seconds[stage] for stage in STAGES},
        "total": time.perf_counter() - ready,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def copies_of(inputs: Iterable[Path], copies: int, target: Path, *, dense: bool) -> Path:
    """Write the inputs' reports several times, each copy with ids of its own."""
    from nlp.bookmarks import BookmarkConfig
    from nlp.passages import find_passages
    from nlp.records import Report
    from nlp.sources import read_reports

    reports = [r for r in read_reports(inputs) if isinstance(r, Report)]
    texts = [r.text for r in reports]
    if dense:
        passages = find_passages(reports, BookmarkConfig(), Counter())
        sentences = [p.sentence.text for p in passages]
        texts = ["\n".join(sentences[i : i + 20]) for i in range(0, len(sentences), 20)]
    with target.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            for i, text in enumerate(texts):
                names = {"report_id": f"R{copy}-{i}", "patient_id": f"P{copy}-{i}"}
                file.write(json.dumps({**names, "text": text}) + "\n")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("reports", nargs="*", type=Path, default=[SAMPLE])
    parser.add_argument("--copies", nargs="+", type=int, default=[10, 100])
    parser.add_argument("--relations", default="cnn")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(tuple(options.reports), options.relations)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'reports':24}{'reports':>9}{'marks':>9}{'start s':>8}", end="")
    print("".join(f"{stage:>9}" for stage in STAGES), "  reports/s  marks/s  peak MB")
    with tempfile.TemporaryDirectory() as scratch:
        for copies in options.copies:
            for dense in (False, True):
                name = f"{'dense ' if dense else ''}x {copies}"
                path = copies_of(
                    options.reports, copies, Path(scratch) / f"{name}.jsonl", dense=dense
                )
                command = [sys.executable, __file__, str(path), "--one"]
                command += ["--relations", options.relations]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                show(name, json.loads(done.stdout.splitlines()[-1]))


def show(name: str, found: dict[str, float]) -> None:
    shares = "".join(f"{found[s] / found['total']:9.0%}" for s in STAGES)
    print(
        f"{name:24}{found['reports']:9,.0f}{found['bookmarks']:9,.0f}{found['start']:8.1f}{shares}"
        f"{found['reports'] / found['total']:12,.0f}{found['bookmarks'] / found['total']:9,.0f}"
        f"{found['peak_mb']:9,.0f}"
    )


if __name__ == "__main__":
    main()
