"""The commands below `lesionary lesanet`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from flows.cli import main
from vision.checkpoint import layer_names
from vision.data import LesionDataset
from vision.lesanet import LesaNetConfig, LesaNetModel

ROOT = Path(__file__).parents[2]
SMALL = ("--backbone", "resnet10", "--batch-size", 4, "--epochs", 2)
BOX = ("--box", "10,8,22,20")
SPACING = ("--spacing", "0.7,0.8,2.5")


def lesionary(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


def refused(*args):
    """The one sentence that a command ends with instead of a result."""
    done = lesionary("lesanet", *args)
    assert done.exit_code == 1, done.output
    assert not done.stdout or done.stdout.startswith("Training ")
    assert done.stdout.count("\n") <= 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("Error: ").rstrip("\n")


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """Where `predict` leaves its picture."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_training_says_what_it_did_and_what_is_next(trained_lesanet, lesion_dataset, tmp_path):
    out = tmp_path / "model"
    done = lesionary("lesanet", "train", lesion_dataset, "--out", out, *SMALL)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "Training resnet10 on 8 lesions, validating on 4, 171 labels."
    assert lines[1].startswith("epoch   1  loss ")
    result = trained_lesanet.result  # the same settings by another way
    figures = (f"{name} {result[name.lower()]:.3f}" for name in ("AUC", "F1"))
    assert f"all labels   {', '.join(figures)}, precision" in done.stdout
    assert lines[-1] == f"Wrote {out}. Next: lesionary lesanet evaluate {out} {lesion_dataset}"


def test_training_prints_one_json_object(trained_lesanet, lesion_dataset, tmp_path):
    out = tmp_path / "model"
    done = lesionary("lesanet", "train", lesion_dataset, "--out", out, *SMALL, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout, parse_constant=pytest.fail)
    assert printed == json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert "Training resnet10" in done.stderr


def test_training_resumes(lesion_dataset, tmp_path):
    command = ("lesanet", "train", lesion_dataset, "--out", tmp_path / "model", *SMALL)
    assert lesionary(*command).exit_code == 0
    done = lesionary(*command, "--resume")
    assert done.exit_code == 0, done.output
    assert "epoch   1" not in done.stdout
    more = lesionary(*command, "--epochs", 3, "--resume")
    assert more.exit_code == 1
    assert "was trained with epochs 2 (now 3)" in more.output


def test_what_cannot_be_trained_is_one_sentence(trained_lesanet, lesion_dataset, tmp_path):
    train = ("train", lesion_dataset, "--out", tmp_path / "model")
    assert "There is no backbone 'vgg19'" in refused(*train, "--backbone", "vgg19")
    assert "holds no checkpoint to resume from" in refused(*train, "--resume")
    taken = refused("train", lesion_dataset, "--out", trained_lesanet.folder)
    assert "holds a training that was begun" in taken
    assert "README.md would be lost" in refused("train", lesion_dataset, "--out", lesion_dataset)
    assert "is no dataset of ours" in refused("train", tmp_path, "--out", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    for wrong in (("--workers", -1), ("--epochs", 0), ("--batch-size", 0), ("--positives", "X")):
        assert lesionary("lesanet", *train, *wrong).exit_code == 2


def test_a_mined_dataset_is_prepared_before_it_is_trained_on(
    write_reports, tmp_path, trained_lesanet
):
    reports = write_reports(("R1", "P1", "There is a 9 mm nodule in the right lower lobe."))
    mined, splits = tmp_path / "mined", tmp_path / "splits.csv"
    splits.write_text("patient_id,split\nP1,train\n", encoding="utf-8")
    done = lesionary(
        *("mine", reports, "--out", mined, "--plain", "--relations", "rules", "--splits", splits)
    )
    assert done.exit_code == 0, done.output
    for told in (
        refused("train", mined, "--out", tmp_path / "model"),
        refused("evaluate", trained_lesanet.folder, mined, "--split", "train"),
    ):
        assert told.startswith(f"{mined} holds no patches: it was mined")
        assert f"Run: lesionary lesions prepare {mined} --images FOLDER" in told


def test_scores_are_shown_label_by_label(trained_lesanet, lesion_dataset):
    command = ("lesanet", "evaluate", trained_lesanet.folder, lesion_dataset)
    scores = json.loads(lesionary(*command, "--json").stdout, parse_constant=pytest.fail)
    done = lesionary(*command)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) > 171
    row = scores["per_label"]["lung"]
    figures = [f"{row[key]:.3f}" for key in ("auc", "precision", "recall", "f1")]
    assert ["lung", *figures, "2"] in [line.split() for line in lines]
    assert ["adrenal", "gland", *"----", "0"] in [line.split() for line in lines]
    assert f"all labels   AUC {scores['auc']:.3f}, F1 {scores['f1']:.3f}" in done.stdout
    assert lines[-1].startswith("Next: lesionary lesanet predict ")


def test_scores_as_json_have_the_shape_that_is_promised(trained_lesanet, lesion_dataset):
    done = lesionary("lesanet", "evaluate", trained_lesanet.folder, lesion_dataset, "--json")
    assert done.stdout.count("\n") == 1
    scores = json.loads(done.stdout)
    promised = {"auc", "precision", "recall", "f1"}
    assert {*promised, "labels_scored", "per_label"} <= scores.keys()
    for row in scores["per_label"].values():
        assert {*promised, "threshold", "positives"} <= row.keys()
        assert isinstance(row["positives"], int)
        assert isinstance(row["threshold"], float)
        kinds = {type(row[key]) for key in promised}
        assert kinds == ({float} if row["positives"] else {type(None)})


def test_a_dataset_with_other_labels_or_splits_is_told(trained_lesanet, lesion_dataset, tmp_path):
    labels = {"id2label": {0: "lung"}, "label2id": {"lung": 0}}
    LesaNetModel(LesaNetConfig(backbone="resnet10", **labels)).save_pretrained(tmp_path / "other")
    told = refused("evaluate", tmp_path / "other", lesion_dataset)
    assert told.startswith("The dataset has other labels than the model: ")
    assert "'chest'" in told
    told = refused("evaluate", trained_lesanet.folder, lesion_dataset, "--split", "valid")
    assert "no lesions in the split 'valid', only in train, validation, test" in told
    assert "no LesaNet model" in refused("evaluate", lesion_dataset, lesion_dataset)


def test_a_prediction_shows_the_surest_labels(trained_lesanet, write_nifti, in_folder):
    done = lesionary(
        "lesanet", "predict", trained_lesanet.folder, write_nifti(), "--slice", 2, *BOX
    )
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == 21
    marks = "".join(line[0] for line in lines[:-1])
    assert marks.rstrip().replace("+", "") == ""
    assert lines[-1] == (
        f"Wrote lesion.png. Next: lesionary lesanet evaluate {trained_lesanet.folder} DATASET"
    )
    with Image.open(in_folder / "lesion.png") as picture:
        assert picture.size == (960, 540)


def test_a_prediction_as_json(trained_lesanet, write_dicom, in_folder):
    done = lesionary(
        *("lesanet", "predict", trained_lesanet.folder, write_dicom(), "--slice", 12, *BOX),
        *("--picture", in_folder / "x.png", "--json"),
    )
    result = json.loads(done.stdout, parse_constant=pytest.fail)
    assert result.keys() == {"labels", "embedding", "slice"}
    assert len(result["labels"]) == 171
    for label in result["labels"]:
        kinds = {name: type(value) for name, value in label.items()}
        assert kinds == {"term": str, "score": float, "threshold": float, "positive": bool}
    assert len(result["embedding"]) == 256
    assert (in_folder / "x.png").exists()
    assert not (in_folder / "lesion.png").exists()


def test_what_cannot_be_asked_is_one_sentence(
    trained_lesanet, write_png, write_nifti, write_dicom, in_folder
):
    def to_mr(dataset, _):
        dataset.Modality = "MR"

    png, nifti, mr = write_png(), write_nifti(), write_dicom("mr", change=to_mr)
    cut = write_png("000002_01_01/{:03}.png")
    cut.write_bytes(cut.read_bytes()[:-200])
    for image, where, message in (
        (nifti, BOX, "{} holds slices 0 to 3: say with --slice"),
        (nifti, ("--slice", 4, *BOX), "{}: There is no slice 4"),
        (nifti, ("--slice", 1, "--box", "50,8,70,20"), "{}: The box (50, 8, 70, 20) lies outside"),
        (nifti, ("--slice", 1, "--box", "10,8,10,20"), "{}: The box (10, 8, 10, 20) is empty"),
        (png, BOX, "{} holds no spacing"),
        (png, (*BOX, "--spacing", "0,0,1"), "{}: A pixel of 0 x 0 mm can't be right"),
        (cut, (*BOX, *SPACING), "Can't read {}: the PNG is truncated"),
        (mr, ("--slice", 12, *BOX), "The folder {} holds no CT but the modality MR"),
        (png, (*BOX, *SPACING, "--picture", png), "The picture would be drawn over {}"),
        (png, (*BOX, *SPACING, "--picture", "no/x.png"), "There is no folder no to draw x.png"),
    ):
        told = refused("predict", trained_lesanet.folder, image, *where)
        assert told.startswith(message.format(image))
    assert not (in_folder / "lesion.png").exists()


@pytest.mark.parametrize("box", ["1,2,3", "1,2,3,x", "", "1 2 3 4"])
def test_a_box_is_four_numbers(box, trained_lesanet, write_png):
    done = lesionary("lesanet", "predict", trained_lesanet.folder, write_png(), "--box", box)
    assert done.exit_code == 2
    assert "write 4 numbers as X1,Y1,X2,Y2." in done.output


def test_a_report_ends_with_the_page_to_open(trained_lesanet, lesion_dataset, tmp_path):
    command = ("lesanet", "report", trained_lesanet.folder, lesion_dataset, "--out", tmp_path / "r")
    done = lesionary(*command)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:3] == ["Scoring 4 lesions (test).", "Drawing figures.", "Writing the gallery."]
    assert lines[3] == "Means over labels, 4 lesions (test, mined labels):"
    page = tmp_path / "r" / "gallery.html"
    report = tmp_path / "r" / "report.md"
    assert lines[-1] == f"Wrote {report}. Next: open {page} in a browser."
    gold = tmp_path / "gold.csv"
    ids = LesionDataset(lesion_dataset, "test").lesion_ids
    gold.write_text(f"lesion_id,labels\n{ids[0]},lung|nodule\n", encoding="utf-8")
    done = lesionary(*command, "--gold", gold, "--label", "lung", "--lesions", 2, "--json")
    result = json.loads(done.stdout, parse_constant=pytest.fail)
    assert result.keys() == {"sources", "propagation", "report", "gallery"}
    assert result["sources"]["gold"]["lesions"] == 1
    assert page.read_text(encoding="utf-8").count("<article>") == 2
    assert "There is no label 'lungs'" in refused(*command[1:], "--label", "lungs")
    assert lesionary(*command, "--lesions", -1).exit_code == 2


def test_converting_a_published_checkpoint(ontology, tmp_path, in_folder, write_png):
    model = LesaNetModel(LesaNetConfig(id2label=dict(enumerate(ontology.labels))))
    names = dict(layer_names(model))
    weights = {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": weight
        for name, weight in model.state_dict().items()
    }
    torch.save({"state_dict": weights}, tmp_path / "model_best.pth.tar")
    command = ("lesanet", "convert", tmp_path / "model_best.pth.tar", "--out", tmp_path / "m")
    done = lesionary(*command)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Wrote {tmp_path / 'm'}. Next: ")
    asked = lesionary("lesanet", "predict", tmp_path / "m", write_png(), *BOX, *SPACING)
    assert asked.exit_code == 0, asked.output
    assert "(from 0.5)" in asked.output
    assert "holds a model already" in refused(*command[1:])


def test_two_processes_train_one_model_and_one_speaks(trained_lesanet, lesion_dataset, tmp_path):
    out = tmp_path / "model"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "flows", "lesanet", "train", lesion_dataset, "--out", out, *SMALL),
    ]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    starts = ("Training ", "epoch   1", "epoch   2", "Means over", "  all", "Wrote ")
    assert [sum(line.startswith(start) for line in lines) for start in starts] == [1] * 6
    assert {p.name for p in out.iterdir()} == {p.name for p in trained_lesanet.folder.iterdir()}
    together = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["history"]
    for ours, alone in zip(together, trained_lesanet.result["history"], strict=True):
        assert ours["total"] == pytest.approx(alone["total"], rel=1e-3)
