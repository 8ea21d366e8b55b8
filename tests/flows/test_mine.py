"""The flow does what the pipeline does, and tells Prefect nothing of the reports."""

import asyncio
import os
from dataclasses import replace

import pytest

from flows.mine import BatchError, mine_batch, run
from nlp.errors import InputError
from pipelines import mine
from pipelines.mine import MineConfig

SECRET = "Zanzibar"
TEXT = f"{SECRET}: 2 cm mass of the liver, previously 1 cm."

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def config(tmp_path, write_reports):
    reports = [(f"{SECRET}{i}", f"P{i}", TEXT) for i in range(5)]
    return MineConfig(
        inputs=(write_reports(*reports),), out=tmp_path / "flow", relations="rules", batch_reports=2
    )


def files(folder):
    """Every file by name and content."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def test_flow_and_pipeline_write_the_same_bytes(config, tmp_path):
    by_flow = run(config)
    plain = mine.mine_reports(replace(config, out=tmp_path / "other" / "flow"))
    assert by_flow.counts == plain.counts
    assert files(by_flow.dataset) == files(plain.dataset)


async def everything_stored():
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        flow_runs = await client.read_flow_runs()
        task_runs = await client.read_task_runs()
        artifacts = await client.read_artifacts()
        logs = await client.read_logs()
        states = [s for r in flow_runs for s in await client.read_flow_run_states(r.id)]
    return flow_runs, task_runs, artifacts, logs, states


def test_an_artifact_tells_the_run_and_nothing_quotes_a_report(config):
    run(config)
    flow_runs, task_runs, artifacts, logs, states = asyncio.run(everything_stored())
    stored = repr((flow_runs, task_runs, artifacts, logs, states))
    assert SECRET not in stored
    newest = max((a for a in artifacts if a.key == "mine-reports"), key=lambda a: a.created)
    assert "| bookmarks | 5 |" in newest.data
    assert "| liver | 5 |" in newest.data
    assert "| measurement 20 mm | mass | relevant |" in newest.data


def test_bad_input_is_not_tried_again(config, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("{broken\n", encoding="utf-8")
    with pytest.raises(InputError, match="None of the 1 records"):
        run(replace(config, inputs=(empty,)))


def test_an_unexpected_error_names_the_place_and_no_data(config, monkeypatch):
    def fail(path, config):
        raise RuntimeError(TEXT)

    monkeypatch.setattr(mine, "mine_batch", fail)
    with pytest.raises(BatchError, match=r"RuntimeError in test_mine\.py") as failed:
        mine_batch.fn(config.inputs[0], config)
    assert SECRET not in str(failed.value)


def test_a_failed_run_is_completed_by_the_next(config, monkeypatch):
    real = mine.commit_batch
    done = []

    def fail_later(batch, config):
        if len(done) == 1:
            raise InputError("The disk is full.")
        done.append(batch)
        return real(batch, config)

    monkeypatch.setattr(mine, "commit_batch", fail_later)
    with pytest.raises(InputError, match="disk is full"):
        run(config)
    monkeypatch.setattr(mine, "commit_batch", real)
    result = run(config)
    assert (result.counts["known"], result.counts["reports"]) == (2, 3)


def test_telemetry_is_off_and_hubs_are_not_asked():
    from prefect.settings import get_current_settings

    assert get_current_settings().server.analytics_enabled is False
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_parameters_may_come_as_json(config, tmp_path):
    """A deployment's parameters are JSON; Prefect makes the configuration of them."""
    from flows.mine import mine_reports

    parameters = {"config": {"inputs": [str(config.inputs[0])], "out": str(tmp_path / "j")}}
    validated = mine_reports.validate_parameters(parameters)["config"]
    assert isinstance(validated, MineConfig)
    assert validated.inputs == config.inputs
