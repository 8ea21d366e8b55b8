"""The command: help, exit codes, messages."""

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flows.cli import main

ROOT = Path(__file__).parents[2]


def commands(group=main, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        yield (*path, name), command


ALL = dict(commands())


def lesionary(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_and_a_place_in_the_docs(path):
    command = ALL[path]
    shown = lesionary(*path, "--help")
    assert shown.exit_code == 0
    assert command.help
    docs = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"lesionary {' '.join(path)}" in docs
    if not isinstance(command, click.Group):
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name != "help":
                assert parameter.opts[0] in docs, parameter.opts[0]


def test_mining_says_what_it_did_and_what_is_next(tmp_path, write_reports):
    inputs = write_reports(("R1", "P1", "A 2 cm mass of the liver."), ("R2", "P2", " "))
    done = lesionary("mine", inputs, "--out", tmp_path / "d", "--plain", "--relations", "rules")
    assert done.exit_code == 0, done.output
    assert "1 reports, 1 bookmarks, 3 pairs: 3 relevant" in done.output
    assert "1 records were rejected" in done.output
    assert str(tmp_path / "d" / "overview.html") in done.output
    assert 'load_dataset("' in done.output


def test_mining_prints_one_json_object(tmp_path, write_reports):
    inputs = write_reports(("R1", "P1", "A 2 cm mass of the liver."))
    done = lesionary(
        "mine", inputs, "--out", tmp_path / "d", "--plain", "--relations", "rules", "--json"
    )
    shown = json.loads(done.stdout)
    assert set(shown) >= set(
        """reports sentences bookmarks mentions pairs relevant uncertain irrelevant rejected seconds
        dataset""".split()
    )
    assert (shown["reports"], shown["pairs"], shown["dataset"]) == (1, 3, str(tmp_path / "d"))


def test_strict_turns_rejected_records_into_exit_1(tmp_path, write_reports):
    inputs = write_reports(("R1", "P1", "A 2 cm mass of the liver."), ("R2", "P2", ""))
    done = lesionary(
        "mine", inputs, "--out", tmp_path / "d", "--plain", "--relations", "rules", "--strict"
    )
    assert done.exit_code == 1
    assert "1 records were rejected; see" in done.output
    assert (tmp_path / "d" / "README.md").exists()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["mine"], 2, "Missing"),
        (["mine", "{tmp}/none", "--out", "{tmp}/d"], 2, "does not exist"),
        (["mine", "{file}", "--out", "{file}"], 2, "is a file"),
        (["mine", "{file}", "--out", "{tmp}/d", "--plain"], 1, "None of the 1 records"),
        (["mine", "{file}", "--out", "{tmp}/d", "--plain", "--source", "hl7"], 1, "Known sources"),
        (["mine", "{file}", "--out", "{tmp}/d", "--column", "text"], 2, "OURS=THEIRS"),
        (["mine", "{file}", "--out", "{tmp}/d", "--plain", "--hyperlink", "("], 1, "expression"),
        (["mine", "{file}", "--out", "{tmp}/d", "--plain", "--relations", "x"], 1, "no relation"),
        (["mine", "{file}", "--out", "{tmp}/d", "--plain", "--ontology", "{file}"], 1, "column"),
        (["mine", "{file}", "--out", "{tmp}/d", "--plain", "--encoding", "x"], 1, "encoding"),
        (["match", "{file}", "{tmp}/o.jsonl"], 1, "line 1: broken JSON"),
        (["ontology", "show", "qwertz"], 1, "no term or synonym 'qwertz'"),
        (["ontology", "check", "{file}"], 1, "no column"),
        (["relations", "evaluate", "{file}", "--relations", "rules"], 1, "no corpus"),
        (["relations", "check", "{file}"], 1, "no corpus"),
        (["relations", "train", "{file}", "--out", "{tmp}/m"], 1, "no corpus"),
    ],
)
def test_bad_input_meets_one_clear_sentence(args, code, said, tmp_path):
    file = tmp_path / "file.json"
    file.write_text('{"a"', encoding="utf-8")
    done = lesionary(*(a.format(tmp=tmp_path, file=file) for a in args))
    assert done.exit_code == code, done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit)
    assert len(re.findall(r"^Error: ", done.output, re.M)) == 1


def test_match_and_predict(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 1, "text": "A 2 cm mass of the liver."}\n', encoding="utf-8")
    assert lesionary("match", source, tmp_path / "m.jsonl").exit_code == 0
    done = lesionary("relations", "predict", source, tmp_path / "r.jsonl", "--relations", "rules")
    assert done.exit_code == 0
    assert len(json.loads((tmp_path / "r.jsonl").read_text(encoding="utf-8"))["pairs"]) == 3


def test_evaluate_as_json(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("{1:2 cm} {mass|1} near the {liver|-}.\n", encoding="utf-8")
    done = lesionary("relations", "evaluate", corpus, "--relations", "rules", "--json")
    assert json.loads(done.stdout)["macro_f1"] == pytest.approx(2 / 3)


def test_evaluate_in_full(tmp_path):
    corpus, page = tmp_path / "corpus.txt", tmp_path / "errors.html"
    corpus.write_text("{1:2 cm} {mass|1} near the {liver|1}.\n", encoding="utf-8")
    args = ("relations", "evaluate", corpus, "--relations", "rules", "--compare", "cnn")
    done = lesionary(*args, "--end-to-end", "--page", page)
    assert done.exit_code == 0, done.output
    for said in (
        "2 pairs of 1 sentences, model rules",
        "expected calibration error",
        "cnn: macro-F1",
        "gold / decided",
        "bookmarks 3+                     0           -           -",
        "1 of 2 gold pairs right",
        f"Wrote {page}",
    ):
        assert said in done.output
    assert "near the" not in done.output
    shown = json.loads(lesionary(*args, "--end-to-end", "--page", page, "--json").stdout)
    assert shown["end_to_end"]["relevant"]["missed"]["relation"] == 1
    assert shown["compared_with"]["model"] == "cnn"


def test_a_faulty_corpus_is_named_and_exits_with_1(tmp_path):
    corpus, other = tmp_path / "corpus.txt", tmp_path / "other.jsonl"
    corpus.write_text("{1:2 cm} {mass|1} of the {liver|2}.\n", encoding="utf-8")
    done = lesionary("relations", "check", corpus)
    assert done.exit_code == 1
    assert f"{corpus}, line 1: a mention names bookmark 2" in done.output
    assert "Error: One fault" in done.output

    corpus.write_text("{1:2 cm} {mass|1} of the liver, probably unrelated.\n", encoding="utf-8")
    done = lesionary("relations", "check", corpus, "--verbose")
    assert done.exit_code == 0
    assert "unmarked 'liver' (liver)" in done.output
    assert "The corpus is sound." in done.output

    text = "3 cm mass of the LIVER, probably unrelated."
    other.write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    done = lesionary("relations", "check", corpus, "--against", other, "--json")
    assert done.exit_code == 1
    (fault,) = json.loads(done.stdout)["faults"]
    assert f"{other}, line 1" in fault["problem"]


def test_the_ontology_commands(write_reports):
    assert "mediastinum" in lesionary("ontology", "show", "subcarinal node").output
    assert "The table is sound." in lesionary("ontology", "check").output
    assert json.loads(lesionary("ontology", "check", "--json").stdout)["labels"] == 171
    reports = write_reports(*((f"R{i}", "P", "A 2 cm spiculatd mass.") for i in range(3)))
    assert "spiculatd" in lesionary("ontology", "suggest", reports).output
