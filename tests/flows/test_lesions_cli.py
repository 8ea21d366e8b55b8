"""The commands below `lesionary lesions`."""

import json

import pytest
from click.testing import CliRunner

from flows.cli import main


def lesionary(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def command(tmp_path, write_slices, write_dl_info, write_published_labels):
    images = write_slices("000001_01_01", range(3, 8))
    table = write_dl_info(("000001_01_01_005.png", {}), ("000002_01_01_005.png", {}))
    labels = write_published_labels(train=[(0, ["lung"], [], []), (1, ["lung"], [], [])])
    return (
        *("lesions", "import-deeplesion", "--images", images, "--dl-info", table),
        *("--labels", labels, "--out", tmp_path / "out"),
    )


def test_importing_says_what_it_did_and_what_is_next(command, tmp_path):
    done = lesionary(*command)
    assert done.exit_code == 0, done.output
    assert "1 lesions: 1 train / 0 validation / 0 test." in done.output
    assert "1 records were rejected" in done.output
    assert "1 x image missing" in done.output
    assert done.output.endswith(
        f"Wrote {tmp_path / 'out'}. Next: lesionary lesanet train {tmp_path / 'out'} --out MODEL\n"
    )


def test_importing_prints_one_json_object(command, tmp_path):
    done = lesionary(*command, "--json")
    assert json.loads(done.stdout) == {
        "dataset": str(tmp_path / "out"),
        "splits": {"train": 1, "validation": 0, "test": 0},
        "labels": {"relevant": 1, "uncertain": 0, "irrelevant": 0},
        "rejected": 1,
        "reasons": {"image missing": 1},
    }


def test_lesions_without_labels_are_not_said_to_be_trained_on(command, tmp_path):
    where = command.index("--labels")
    done = lesionary(*command[:where], *command[where + 2 :])
    assert done.exit_code == 0, done.output
    assert done.output.endswith(f'Next: datasets.load_dataset("{tmp_path / "out"}")\n')


def test_strict_fails_over_a_rejected_lesion(command, tmp_path):
    done = lesionary(*command, "--strict")
    assert done.exit_code == 1
    assert "1 records were rejected; see" in done.output
    assert (tmp_path / "out" / "README.md").exists()


def test_what_is_there_is_not_written_over(command, tmp_path):
    assert lesionary(*command).exit_code == 0
    done = lesionary(*command)
    assert done.exit_code == 1
    assert "exists already" in done.output


def test_preparing_something_else_is_one_sentence(tmp_path):
    done = lesionary("lesions", "prepare", tmp_path, "--images", tmp_path, "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert "is no dataset of ours" in done.output
    assert "Traceback" not in done.output
