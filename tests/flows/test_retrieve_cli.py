"""`lesionary lesanet retrieve`."""

import json
import shutil

import pytest
from click.testing import CliRunner

from flows.cli import main
from vision.data import LesionDataset


@pytest.fixture
def retrieve(trained_lesanet, lesion_dataset, tmp_path):
    model = shutil.copytree(trained_lesanet.folder, tmp_path / "model")

    def retrieve(*args):
        command = ("lesanet", "retrieve", model, lesion_dataset, *args)
        return CliRunner().invoke(main, [str(a) for a in command])

    return retrieve


@pytest.fixture
def query(lesion_dataset):
    return LesionDataset(lesion_dataset, "test").lesion_ids[0]


def test_similar_lesions_are_listed(retrieve, query, tmp_path):
    page = tmp_path / "similar.html"
    done = retrieve("--query", query, "-k", 3, "--page", page)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if "Computing" not in line]
    assert lines[0] == f"{query} (test): chest, lung, nodule"
    assert [line[:3] for line in lines[2:5]] == [" 1 ", " 2 ", " 3 "]
    assert lines[-1] == f"Wrote {page}."
    assert page.read_text(encoding="utf-8").count("<img ") == 4


def test_one_json_object_is_printed(retrieve, query):
    done = retrieve("--query", query, "--split", "train", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout, parse_constant=pytest.fail)
    assert result.keys() == {"query", "k", "retrieved"}
    assert {row["split"] for row in result["retrieved"]} == {"train"}
    assert result["k"] == len(result["retrieved"]) == 5
    fields = {"lesion_id", "split", "labels", "distance", "similarity", "common"}
    assert all(row.keys() == fields for row in result["retrieved"])


def test_the_gain_over_a_split_is_told(retrieve):
    done = retrieve("--all", "-k", 2)
    assert done.exit_code == 0, done.output
    figures = json.loads(retrieve("--all", "-k", 2, "--json").stdout)
    assert "4 lesions (test) asked for 2 of 8 (train):" in done.stdout
    assert f"common labels (ACG)   {figures['acg']:.3f}, at random" in done.stdout
    assert figures["queries"] == 4


@pytest.mark.parametrize("args", [(), ("--query", "x", "--all")])
def test_either_a_query_or_all(retrieve, args):
    done = retrieve(*args)
    assert done.exit_code == 2
    assert "Give either --query LESION_ID or --all." in done.stderr


def test_an_unknown_lesion_is_one_sentence(retrieve):
    done = retrieve("--query", "nosuch")
    assert done.exit_code == 1
    assert done.stderr.strip().splitlines()[-1].endswith("lesion_id of its data files.")
