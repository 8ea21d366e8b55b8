"""What it costs to find similar lesions among as many as DeepLesion has.

    python benchmarks/retrieval.py [--lesions 32735] [--dimensions 256] [--queries 200] [--json]

Embeddings of unit length around 500 made-up centres, eight to a patient. Each query is asked alone,
and its top 5 compared with the distances to all embeddings in float64, its patient left out.
Figures are medians; where the machine does other work too, look at the processor time as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from typing import Any

import numpy as np

from vision.indexes import INDEXES, index_name


def embeddings(lesions: int, dimensions: int, *, seed: int = 0) -> np.ndarray[Any, Any]:
    """Made-up embeddings. Shape: (lesions, dimensions), float32."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(500, dimensions))
    vectors = centres[rng.integers(500, size=lesions)]
    vectors += 0.5 * rng.normal(size=vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def true_neighbours(vectors: Any, row: int, patients: list[str], k: int) -> list[int]:
    """The nearest lesions of other patients, by all distances in float64."""
    distances = np.linalg.norm(vectors - vectors[row], axis=1)
    distances[[p == patients[row] for p in patients]] = np.inf
    return np.argsort(distances, kind="stable")[:k].tolist()


def measure(lesions: int, dimensions: int, queries: int, name: str, k: int = 5) -> dict[str, Any]:
    vectors = embeddings(lesions, dimensions)
    patients = [str(row // 8) for row in range(lesions)]
    begun = time.perf_counter()
    index = INDEXES[name](vectors, patients, None)
    built = time.perf_counter() - begun
    rows = np.random.default_rng(1).choice(lesions, min(queries, lesions), replace=False).tolist()
    doubled = vectors.astype(np.float64)
    seconds, processor, agreed = [], [], 0
    for row in rows:
        begun, spent = time.perf_counter(), time.process_time()
        found = index.search(vectors[[row]], [patients[row]], k)
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - spent)
        agreed += found.rows[0].tolist() == true_neighbours(doubled, row, patients, k)
    begun = time.perf_counter()
    index.search(vectors[rows], [patients[row] for row in rows], k)
    together = (time.perf_counter() - begun) / len(rows)
    return {
        "index": name,
        "lesions": lesions,
        "dimensions": dimensions,
        "queries": len(rows),
        "built_s": built,
        "query_ms": 1000 * statistics.median(seconds),
        "query_processor_ms": 1000 * statistics.median(processor),
        "query_ms_at_95_percent": 1000 * float(np.percentile(seconds, 95)),
        "query_together_ms": 1000 * together,
        "agreement": agreed / len(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lesions", type=int, default=32_735)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--index", choices=INDEXES, help="By default what the command would take.")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    name = args.index or index_name(args.lesions)
    figures = measure(args.lesions, args.dimensions, args.queries, name)
    figures |= {"machine": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    print(json.dumps(figures) if args.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
