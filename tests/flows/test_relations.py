"""Training by Prefect is the same training, and Prefect reads no sentence."""

import asyncio
from dataclasses import replace

import pytest

from flows.relations import train_relations
from pipelines import relations
from pipelines.relations import TrainRelationsConfig

SECRET = "Zanzibar"
LINES = f"""
{SECRET}: {{1:9 mm}} {{nodule|1}} in the {{lingula|1}}.
No {{calcification|-}} of the {{1:9 mm}} {{mass|1}}, likely a {{cyst|1?}}.
"""

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def config(tmp_path):
    corpus, checks = tmp_path / "corpus.txt", tmp_path / "checks.txt"
    for path in (corpus, checks):
        path.write_text(LINES, encoding="utf-8")
    return TrainRelationsConfig(
        corpora=(corpus,), validation=(checks,), shipped=False, epochs=2, out=tmp_path / "flow"
    )


async def everything_stored():
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        return (
            await client.read_flow_runs(),
            await client.read_task_runs(),
            await client.read_artifacts(),
            await client.read_logs(),
        )


def test_flow_and_pipeline_train_the_same_model(config, tmp_path):
    scores = train_relations(config)
    plain = relations.train_relations(replace(config, out=tmp_path / "plain"))
    assert scores == plain
    for file in (tmp_path / "plain").iterdir():
        assert (config.out / file.name).read_bytes() == file.read_bytes()
    stored = repr(asyncio.run(everything_stored()))
    assert "train-relations" in stored
    assert SECRET not in stored


def test_a_deployment_gives_the_parameters_as_json(config):
    raw = {
        "corpora": [str(p) for p in config.corpora],
        "validation": [str(p) for p in config.validation],
        "shipped": False,
        "epochs": 1,
        "out": str(config.out),
    }
    assert train_relations.validate_parameters({"config": raw}) == {
        "config": replace(config, epochs=1)
    }
