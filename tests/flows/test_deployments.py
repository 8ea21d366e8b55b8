"""`prefect.yaml` offers every flow, under a name and with parameters that the flow takes."""

import importlib
import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


def test_every_flow_has_a_deployment():
    entrypoints = {d["name"]: d["entrypoint"] for d in DEPLOYMENTS}
    for path in (ROOT / "flows").glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("@flow(name="):
                flow = line.split('"')[1]
                assert entrypoints[flow] == f"flows/{path.name}:{flow.replace('-', '_')}"


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_a_deployment_names_a_flow_and_parameters_that_it_takes(deployment):
    path, function = deployment["entrypoint"].split(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    flow = getattr(module, function)
    assert flow.name == deployment["name"]
    flow.validate_parameters(json.loads(json.dumps(deployment["parameters"])))
