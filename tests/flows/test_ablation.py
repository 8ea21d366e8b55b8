"""`lesionary lesanet ablate`: by Prefect or without it, the same results."""

import json
from pathlib import Path

from click.testing import CliRunner

from flows.ablation import ablate_lesanet
from flows.cli import main
from pipelines.ablation import AblateConfig
from pipelines.lesanet import TrainConfig

SMALL = ("--backbone", "resnet10", "--batch-size", 4, "--epochs", 1, "--variants", "labels-ru")


def ablate(*args):
    return CliRunner().invoke(main, [str(a) for a in ("lesanet", "ablate", *args)])


def scores(out):
    return (out / "scores.csv").read_text(encoding="utf-8").splitlines()


def test_prefect_and_plain_write_the_same(stored_by_prefect, lesion_dataset, tmp_path):
    plain = ablate(lesion_dataset, "--out", tmp_path / "plain", *SMALL, "--plain")
    assert plain.exit_code == 0, plain.output
    flow = ablate(lesion_dataset, "--out", tmp_path / "flow", *SMALL)
    assert flow.exit_code == 0, flow.output
    assert "Starting Prefect" in flow.output
    one, two = (
        json.loads((tmp_path / name / "results/given/full.json").read_text())
        for name in ("plain", "flow")
    )
    assert {**one, "seconds": 0} == {**two, "seconds": 0}
    page = "ablation.html"
    assert (tmp_path / "plain" / page).read_text() == (tmp_path / "flow" / page).read_text()

    flows, tasks, artifacts, logs = stored_by_prefect("1 runs, of which 0 are done")
    assert any("# LesaNet and its variants" in a.data for a in artifacts if a.key)
    assert "LesaNet, the given split" in {task.name for task in tasks}
    assert any("1 runs, of which 0 are done" in log.message for log in logs)
    assert "000001_01_01" not in repr((flows, tasks, artifacts, logs))


def test_the_command_tells_tables_and_page(lesion_dataset, tmp_path):
    out = tmp_path / "results"
    done = ablate(lesion_dataset, "--out", out, *SMALL, "--plain")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "1 runs, of which 0 are done already."
    assert lines[1].startswith("LesaNet, the given split: AUC ")
    assert [line for line in lines if line.startswith("| labels: R + U |")]
    assert lines[-1] == f"Wrote {out / 'ablation.html'}. Next: open it in a browser."

    tables = (out / "ablation.md").read_bytes()
    (out / "ablation.md").unlink()
    again = ablate(lesion_dataset, "--out", out, *SMALL, "--rebuild")
    assert again.exit_code == 0, again.output
    assert (out / "ablation.md").read_bytes() == tables


def test_what_cannot_be_done_is_one_sentence(lesion_dataset, tmp_path):
    for options, message in (
        (("--variants", "nope"), "There is no variant 'nope'. Choose of the groups all, "),
        (("--rebuild",), "holds no finished run"),
        (("--gold", lesion_dataset / "labels.json"), "Can't read"),
    ):
        done = ablate(lesion_dataset, "--out", tmp_path / "r", "--plain", *options)
        assert done.exit_code == 1, done.output
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "r" / "experiment.json").exists()


def test_a_deployment_gives_the_parameters_as_json():
    raw = {"dataset": "lesions", "out": "r", "splits": 3, "training": {"epochs": 3}}
    config = ablate_lesanet.validate_parameters({"config": raw})["config"]
    assert isinstance(config, AblateConfig)
    assert (config.out, config.splits, config.training) == (Path("r"), 3, TrainConfig(epochs=3))
