"""The flow `mine-reports`: `pipelines.mine.mine_reports`, with each batch as a task."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

import flows.settings  # noqa: F401  (before Prefect)
from pipelines import mine
from pipelines.errors import INPUT_ERRORS
from pipelines.locks import folder_lock
from pipelines.mine import Batch, MineConfig, MineResult
from pipelines.summary import run_summary


class BatchError(RuntimeError):
    """A batch failed; the message names the place in the code and quotes no data."""


def _is_worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    return not isinstance(state.result(raise_on_failure=False), INPUT_ERRORS)


# A dataset remembers the reports it holds, so what was mined once is never planned again: Prefect
# need not cache it.
@task(
    name="mine-batch",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_is_worth_a_retry,
    cache_policy=NO_CACHE,
)
def mine_batch(path: Path, config: MineConfig) -> Batch:
    """`pipelines.mine.mine_batch`, with errors that Prefect may store."""
    try:
        return mine.mine_batch(path, config)
    except INPUT_ERRORS:
        raise
    except Exception as error:  # its message may quote a report, and Prefect keeps messages
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        raise BatchError(
            f"Batch {path.stem} failed: {type(error).__name__} in {where}. Run it again with "
            "--plain to see the whole error."
        ) from None


@flow(name="mine-reports")
def mine_reports(config: MineConfig) -> MineResult:
    """Mine reports into a labelled dataset, each batch as a task.

    Inputs are checked before the first task, since a bad file needs no retries. Tasks hand on
    paths and counts, never text: Prefect stores the parameters of a run.
    """
    with folder_lock(config.out):
        plan = mine.plan_batches(config)
        get_run_logger().info(
            f"{plan.reports} new reports in {len(plan.batches)} batches; {plan.known} known; "
            f"{sum(plan.reasons.values())} records rejected"
        )
        futures = [mine_batch.submit(path, config) for path in plan.batches]
        batches = [mine.commit_batch(future.result(), config) for future in futures]
        result = mine.finish(plan, batches, config)
    create_markdown_artifact(key="mine-reports", markdown=run_summary(result))
    return result


def run(config: MineConfig) -> MineResult:
    """Run the flow with as many workers as the configuration asks for."""
    runner: Any = (
        ThreadPoolTaskRunner(max_workers=1)
        if config.workers == 1
        else ProcessPoolTaskRunner(max_workers=config.workers)
    )
    return mine_reports.with_options(task_runner=runner)(config)
