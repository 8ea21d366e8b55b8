"""Trainings that are killed and resumed, and trainings in two processes."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vision.methods import METHODS
from vision.run_folder import latest_checkpoint

SCRIPT = Path(__file__).with_name("tiny_training.py")
ROOT = SCRIPT.parents[2]


def run(*arguments):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )


def checkpoint_of(folder):
    return torch.load(latest_checkpoint(folder), weights_only=True)


def curve_of(folder):
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture(scope="module", params=["lesanet", "embedding"])
def killed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    return folder, run("killed", folder, request.param).stdout.split("\n")


@pytest.mark.parametrize("place", ["step_4", "step_9", "writing_3", "writing_9"])
def test_killed_and_resumed_is_as_if_never_stopped(killed, place):
    folder, ends = killed
    assert f"{place} -9 0" in ends
    whole, resumed = folder / "whole", folder / place
    expected, found = checkpoint_of(whole), checkpoint_of(resumed)
    assert found["progress"]["step"] == 9
    for name, weight in expected["weights"].items():
        assert torch.equal(found["weights"][name], weight), name
    for i, state in expected["optimizer"]["state"].items():
        assert torch.equal(found["optimizer"]["state"][i]["momentum_buffer"], *state.values())
    assert curve_of(resumed) == curve_of(whole)
    for name in ("model.safetensors", "config.json"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert [p.name for p in (resumed / "checkpoints").iterdir()] == ["step-00000009.pt"]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_like_one(tiny, tmp_path, method):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ends = run("parallel", tmp_path / "two", method, port)
    assert ends.stdout.split() == ["0", "0"], ends.stderr

    tiny.train(tmp_path / "one", method=method, **tiny.PARALLEL)

    one, two = curve_of(tmp_path / "one"), curve_of(tmp_path / "two")
    assert [row["steps"] for row in one] == [1, 1, 1]
    for a, b in zip(one, two, strict=True):
        assert b == pytest.approx(a, rel=1e-10)
    expected, found = (checkpoint_of(tmp_path / name) for name in ("one", "two"))
    for name, weight in expected["weights"].items():
        torch.testing.assert_close(found["weights"][name], weight, rtol=1e-10, atol=1e-12)
