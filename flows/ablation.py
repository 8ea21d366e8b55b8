"""The flow `ablate-lesanet`: `pipelines.ablation`, with each run as a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

import flows.settings  # noqa: F401  (before Prefect)
from pipelines import ablation
from pipelines.ablation import AblateConfig, Places, Run
from pipelines.locks import folder_lock


# What is done is remembered by the folder of results, so Prefect need not cache it.
@task(name="train-variant", task_run_name="{run}", cache_policy=NO_CACHE)
def train_variant(run: Run, config: AblateConfig, places: Places) -> str | None:
    """`pipelines.ablation.attempt`, its outcome in Prefect's log."""
    return ablation.attempt(run, config, places, say=get_run_logger().info)


@flow(name="ablate-lesanet")
def ablate_lesanet(config: AblateConfig) -> Path:
    """Train LesaNet and its variants on the same splits and compare them; return the page.

    Several are trained at once if `jobs` says so, each in its own process, on a GPU that is free.
    Parameters are paths and numbers; no lesion or sentence reaches Prefect.
    """
    with folder_lock(config.out):
        runs = ablation.plan_runs(config, say=get_run_logger().info)
        places: Any = quote(Places(config.jobs))  # Prefect hands on what is in it
        futures = [train_variant.submit(run, config, places) for run in runs]
        page = ablation.finish(config, [future.result() for future in futures])
    tables = page.with_suffix(".md").read_text(encoding="utf-8")
    create_markdown_artifact(key="ablate-lesanet", markdown=tables)
    return page


def run(config: AblateConfig) -> Path:
    """Run the flow with as many workers as the configuration asks for."""
    runner: Any = ThreadPoolTaskRunner(max_workers=config.jobs)
    return ablate_lesanet.with_options(task_runner=runner)(config)
