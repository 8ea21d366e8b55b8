"""One self-contained HTML page on a dataset: sentences with their labels, filters, label counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from nlp.ontology import Ontology
from nlp.records import RELATIONS
from nlp.rows import SPLITS, shards
from nlp.store import Manifest, replace_file
from pipelines.rendering import render

MAX_ROWS: Final = 600


def write_page(folder: Path, manifest: Manifest, ontology: Ontology) -> Path:
    """Write `overview.html` into a dataset's folder and return its path.

    It holds up to `MAX_ROWS` rows, the newest batches first, and needs no network: style, script
    and data are inside.
    """
    labels: Counter[str] = Counter()
    for batch in manifest.batches:
        labels.update(batch.labels)
    rows = list(islice(_rows(folder, manifest), MAX_ROWS))
    page = render(
        "overview.html",
        folder=folder.name,
        counts=manifest.counts,
        splits={split: sum(b.rows[split] for b in manifest.batches) for split in SPLITS},
        recipe=manifest.recipe,
        labels=labels.most_common(),
        most=max(labels.values(), default=1),
        known=len(manifest.labels),
        kinds={name: ontology[name].kind for name in labels if name in ontology},
        shown=len(rows),
        total=sum(sum(b.rows.values()) for b in manifest.batches),
        data=_for_script(rows),
    )
    path = folder / "overview.html"
    replace_file(path, page)
    return path


def _rows(folder: Path, manifest: Manifest) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    for batch in reversed(manifest.batches):
        for split, path in shards(folder / "data", batch.digest, batch.rows).items():
            with parquet.ParquetFile(path) as shard:
                for group in shard.iter_batches(batch_size=100):
                    yield from (_for_page(row, split) for row in group.to_pylist())


def _for_page(row: dict[str, Any], split: str) -> dict[str, Any]:
    """What the page shows of a row, with offsets into the sentence."""
    at = row["sentence_start"]
    bookmarks = [(row["bookmark"], True), *((b, False) for b in row["other_bookmarks"])]
    return {
        "report": row["report_id"],
        "section": row["section"],
        "split": split,
        "text": row["sentence"],
        "lesion": row["lesion_id"],
        "conflicts": row["conflicts"],
        "bookmarks": [
            {
                "start": b["start"] - at,
                "end": b["end"] - at,
                "kind": b["kind"],
                "focus": focus,
                "mm": b["sizes_mm"],
            }
            for b, focus in bookmarks
        ],
        "mentions": [
            {
                "start": m["start"] - at,
                "end": m["end"] - at,
                "term": m["term"],
                "rule": m["rule"],
                "relation": RELATIONS[m["relation"]],
                "p": round(m["probabilities"][m["relation"]], 2),
            }
            for m in row["mentions"]
        ],
    }


def _for_script(value: object) -> str:
    """JSON that can stand inside a script element: no sign in it opens or closes a tag."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
