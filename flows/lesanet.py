"""The flows `train-lesanet` and `evaluate-lesanet`: `pipelines.lesanet` as tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

import flows.settings  # noqa: F401  (before Prefect)
from pipelines import lesanet
from pipelines.lesanet import TrainLesanetConfig


# The same folder may hold other lesions tomorrow, so a result is never taken from a cache.
@task(name="train-network", cache_policy=NO_CACHE)
def train_network(config: TrainLesanetConfig) -> dict[str, Any]:
    """`pipelines.lesanet.train_lesanet`, its progress in Prefect's log."""
    return lesanet.train_lesanet(config, say=get_run_logger().info)


@task(name="score-network", cache_policy=NO_CACHE)
def score_network(model: Path, dataset: Path, split: str) -> dict[str, Any]:
    """`pipelines.lesanet.evaluate_lesanet`."""
    return lesanet.evaluate_lesanet(model, dataset, split=split)


@flow(name="train-lesanet")
def train_lesanet(config: TrainLesanetConfig) -> dict[str, Any]:
    """Train LesaNet on a lesion dataset; return its scores on the validation lesions.

    Parameters are paths and numbers; no lesion or sentence reaches Prefect.
    """
    scores = train_network(config)
    card = (config.out / "README.md").read_text(encoding="utf-8").split("---\n", 2)[-1]
    create_markdown_artifact(key="train-lesanet", markdown=card)
    return scores


@flow(name="evaluate-lesanet")
def evaluate_lesanet(model: Path, dataset: Path, split: str = "test") -> dict[str, Any]:
    """Score a trained LesaNet on a split of a lesion dataset."""
    scores = score_network(model, dataset, split)
    table = [{"label": name, **row} for name, row in scores["per_label"].items()]
    create_table_artifact(key="evaluate-lesanet", table=table)
    return scores
