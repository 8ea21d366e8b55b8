"""The flow `train-relations`: `pipelines.relations.train_relations` as a task."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

import flows.settings  # noqa: F401  (before Prefect)
from pipelines import relations
from pipelines.relations import TrainRelationsConfig


# The same corpora may hold other sentences tomorrow, so a result is never taken from a cache.
@task(name="train-model", cache_policy=NO_CACHE)
def train_model(config: TrainRelationsConfig) -> dict[str, Any]:
    """`pipelines.relations.train_relations`, its progress in Prefect's log."""
    return relations.train_relations(config, say=get_run_logger().info)


@flow(name="train-relations")
def train_relations(config: TrainRelationsConfig) -> dict[str, Any]:
    """Train a relation model; return its scores on the validation sentences.

    Parameters are paths and numbers; no sentence of a corpus reaches Prefect.
    """
    scores = train_model(config)
    card = (config.out / "README.md").read_text(encoding="utf-8").split("---\n", 2)[-1]
    create_markdown_artifact(key="train-relations", markdown=card)
    return scores
