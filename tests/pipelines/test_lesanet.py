"""Train LesaNet on a small phantom, score it, ask it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from pipelines.lesanet import (
    convert_lesanet,
    evaluate_lesanet,
    predict_lesion,
    train_lesanet,
)
from vision.checkpoint import layer_names
from vision.data import LesionDataset
from vision.errors import InputError
from vision.images import lesion_patch
from vision.labels import LabelSpace
from vision.lesanet import LesaNetConfig, LesaNetModel, load_model
from vision.readers import open_image

SCORES = {"auc", "precision", "recall", "f1"}
BOX = (10, 8, 22, 20)
SPACING = (0.7, 0.8, 2.5)


def quiet(_):
    pass


def test_training_writes_a_model_with_its_figures(trained_lesanet):
    folder, result = trained_lesanet.folder, trained_lesanet.result
    names = (
        "config.json model.safetensors preprocessor_config.json history.csv metrics.json "
        "training_curves.png README.md checkpoints"
    )
    assert {p.name for p in folder.iterdir()} == set(names.split())
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(result)
    )
    assert (result["lesions"], result["training_lesions"]) == (4, 8)
    history = pd.read_csv(folder / "history.csv", float_precision="round_trip")
    assert history.to_dict("records") == result["history"]
    assert history["steps"].tolist() == [2, 2]
    with Image.open(folder / "training_curves.png") as picture:
        assert picture.size == (800, 360)
    assert len(trained_lesanet.said) == 3
    assert trained_lesanet.said[0] == (
        "Training resnet10 on 8 lesions, validating on 4, 171 labels."
    )
    assert f"F1 {result['history'][1]['validation_f1']:.3f}" in trained_lesanet.said[2]


def test_the_figures_are_those_of_the_epoch_that_was_kept(trained_lesanet, lesion_dataset):
    best = max(row["validation_f1"] for row in trained_lesanet.result["history"])
    assert trained_lesanet.result["f1"] >= best  # labels above a predicted one come on top
    again = evaluate_lesanet(trained_lesanet.folder, lesion_dataset, split="validation")
    assert again == {name: trained_lesanet.result[name] for name in again}


def test_the_card_tells_the_figures(trained_lesanet):
    card = (trained_lesanet.folder / "README.md").read_text(encoding="utf-8")
    result = trained_lesanet.result
    rows = {"all labels": result, **result["by_class"]}
    for name, row in rows.items():
        figures = [row[key] for key in ("auc", "precision", "recall", "f1")]
        shown = ["-" if value is None else f"{value:.3f}" for value in figures]
        assert f"| {' | '.join([name, *shown, str(row['labels_scored'])])} |" in card
    best = max(result["history"], key=lambda row: row["validation_f1"])
    assert f"epoch {best['epoch']:.0f} was kept, the best by mean F1" in card
    assert f"(with 0 the mean is\n{result['precision_zero']:.3f})" in card
    assert "8 lesions of the dataset `lesions`" in card
    assert "resnet10, for 171 labels" in card


def test_transformers_loads_the_model(trained_lesanet, lesion_dataset):
    model = AutoModel.from_pretrained(trained_lesanet.folder).eval()
    own = load_model(trained_lesanet.folder)
    lesions = LesionDataset(lesion_dataset, "test")
    batch = lesions.__getitems__([0, 1, 2])
    inputs = {name: batch[name] for name in ("pixel_values", "boxes_px")}
    with torch.inference_mode():
        theirs, ours = model(**inputs), own(**inputs)
    assert torch.equal(theirs.refined_scores, ours.refined_scores)
    assert torch.equal(theirs.embeddings, ours.embeddings)
    assert model.config.label_names == list(lesions.space.names)
    assert model.config.thresholds == own.config.thresholds
    processor = AutoImageProcessor.from_pretrained(trained_lesanet.folder)
    patch = torch.tensor(np.array(lesions.rows[0]["patch"]))
    prepared = processor(patch)["pixel_values"][0]
    assert torch.allclose(prepared, batch["pixel_values"][0], atol=1e-6)


def test_evaluation_scores_what_can_be_scored(trained_lesanet, lesion_dataset):
    scores = evaluate_lesanet(trained_lesanet.folder, lesion_dataset)
    assert {*SCORES, "labels_scored", "per_label", "by_class", "lesions"} <= scores.keys()
    assert scores["lesions"] == 4
    assert len(scores["per_label"]) == 171
    thresholds = load_model(trained_lesanet.folder).config.thresholds
    assert [row["threshold"] for row in scores["per_label"].values()] == thresholds
    for name, row in scores["per_label"].items():
        assert row.keys() == {*SCORES, "precision_zero", "threshold", "positives"}
        assert all((row[key] is not None) == (row["positives"] > 0) for key in SCORES), name
    scored = [row for row in scores["per_label"].values() if row["auc"] is not None]
    expected = {"lung", "nodule", "liver", "cyst", "chest", "abdomen"}
    assert {scores["per_label"][name]["positives"] for name in expected} == {2}
    assert scores["per_label"]["large"]["positives"] == 0  # said with doubt
    assert scores["labels_scored"] == len(scored) >= len(expected)
    for key in SCORES:
        assert scores[key] == pytest.approx(np.mean([row[key] for row in scored]))


def test_a_dataset_for_testing_alone_is_scored(trained_lesanet, import_phantom, tmp_path):
    rows = [(0, ["lung"], [], []), (1, ["liver"], [], [])]
    alone = import_phantom(tmp_path / "alone", test=rows)
    scores = evaluate_lesanet(trained_lesanet.folder, alone)
    assert scores["by_frequency"] == {}
    assert scores["per_label"]["lung"]["positives"] == 1


def test_going_on_with_a_finished_training_changes_nothing(trained_lesanet):
    weights = trained_lesanet.folder / "model.safetensors"
    before = weights.read_bytes()
    again = train_lesanet(replace(trained_lesanet.config, resume=True), say=quiet)
    assert again == trained_lesanet.result
    assert weights.read_bytes() == before


def test_validation_without_a_label_to_score_is_no_nan(import_phantom, tmp_path, trained_lesanet):
    dataset = import_phantom(
        tmp_path / "lesions",
        train=[(0, ["lung"], [], []), (1, ["liver"], [], [])],
        val=[(2, ["lung"], [], []), (3, ["lung"], [], [])],
    )
    said = []
    config = replace(trained_lesanet.config, dataset=dataset, out=tmp_path / "model")
    result = train_lesanet(config, say=said.append)
    assert [row["validation_f1"] for row in result["history"]] == [None, None]
    assert result["f1"] is None
    text = (config.out / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["auc"] is None
    card = (config.out / "README.md").read_text(encoding="utf-8")
    assert "epoch 2 was kept, the last, since no label could be scored" in card
    assert "validation AUC -, F1 -" in said[-1]


def test_a_batch_larger_than_the_dataset_is_the_dataset(trained_lesanet, tmp_path):
    training = replace(trained_lesanet.config.training, batch_size=128, epochs=1)
    config = replace(trained_lesanet.config, training=training, out=tmp_path / "model")
    (row,) = train_lesanet(config, say=quiet)["history"]
    assert row["steps"] == 1


def test_loading_in_other_processes_changes_nothing(trained_lesanet, tmp_path):
    recipe = replace(trained_lesanet.config.training, workers=1)
    config = replace(trained_lesanet.config, out=tmp_path / "model", training=recipe)
    train_lesanet(config, say=quiet)
    alone, helped = (f / "model.safetensors" for f in (trained_lesanet.folder, config.out))
    assert alone.read_bytes() == helped.read_bytes()


def refused(config, message, say=quiet):
    before = snapshot(config.out)
    with pytest.raises(InputError, match=message) as error:
        train_lesanet(config, say=say)
    assert snapshot(config.out) == before
    assert "\n" not in str(error.value)


def snapshot(folder):
    return {p: p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def test_what_cannot_be_trained_says_why(trained_lesanet, import_phantom, tmp_path):
    config = replace(trained_lesanet.config, out=tmp_path / "model")
    no_check = import_phantom(tmp_path / "no_check", train=[(0, ["lung"], [], [])])
    no_label = import_phantom(
        tmp_path / "no_label", train=[(0, [], [], ["lung"])], val=[(1, ["lung"], [], [])]
    )
    unknown = replace(config.training, backbone="vgg19")
    (tmp_path / "file").touch()

    refused(replace(config, dataset=no_check), "no lesions in the split 'validation', only in tr")
    refused(replace(config, dataset=no_label), "None of the 1 training lesions has a positive")
    refused(replace(config, dataset=tmp_path), "is no dataset of ours")
    refused(replace(config, resume=True), "holds no checkpoint to resume from")
    refused(replace(config, training=unknown), "no backbone 'vgg19'. Choose one of vgg16, resnet10")
    refused(replace(config, out=tmp_path / "file" / "m"), "Can't write into .*: Not a directory")
    refused(trained_lesanet.config, "holds a training that was begun. Go on with --resume")
    assert not config.out.exists()


def test_the_readme_of_something_else_is_not_written_over(trained_lesanet, lesion_dataset):
    refused(replace(trained_lesanet.config, out=lesion_dataset), "README.md would be lost")


def test_the_labels_of_another_dataset_are_told(trained_lesanet, lesion_dataset, tmp_path):
    config = LesaNetConfig(
        backbone="resnet10", id2label={0: "lung", 1: "liver"}, label2id={"lung": 0, "liver": 1}
    )
    LesaNetModel(config).save_pretrained(tmp_path / "other")
    with pytest.raises(InputError, match=r"other labels than the model: .*'chest'.* more"):
        evaluate_lesanet(tmp_path / "other", lesion_dataset)


@pytest.fixture
def ask(trained_lesanet, tmp_path):
    def ask(image, **where):
        return predict_lesion(
            trained_lesanet.folder, image, **{"box_px": BOX, **where}, picture=tmp_path / "p.png"
        )

    return ask


def check_prediction(result, lesion_dataset, picture):
    space = LabelSpace.from_json(lesion_dataset / "labels.json")
    labels, names = result["labels"], list(space.names)
    assert sorted(label["term"] for label in labels) == sorted(names)
    ranks = [(not label["positive"], -label["score"]) for label in labels]
    assert ranks == sorted(ranks)
    found = {label["term"]: label for label in labels}
    positive = torch.tensor([[found[name]["positive"] for name in names]])
    assert torch.equal(space.expand(positive), positive)
    for label in labels:
        if label["score"] >= label["threshold"] + 1e-6:
            assert label["positive"]
    assert np.linalg.norm(result["embedding"]) == pytest.approx(1, abs=1e-5)
    assert len(result["embedding"]) == 256
    with Image.open(picture) as drawn:
        assert drawn.size == (960, 540)


def test_every_format_gives_the_same_labels(
    ask, write_png, write_nifti, write_dicom, lesion_dataset, tmp_path
):
    """The second slice: named by its number, by its index, and by its InstanceNumber."""
    png = write_png()
    series = write_dicom()
    key_file = next(p for p in series.iterdir() if open_image(p).key_slice == 12)
    asked = {
        102: [(png, {"spacing_mm": SPACING}),
              (png.parent, {"spacing_mm": SPACING, "slice_index": 102})],
        12: [(series, {"slice_index": 12}), (key_file, {})],
        2: [(write_nifti(), {"slice_index": 2})],
    }  # fmt: skip
    first = ask(png, spacing_mm=SPACING)
    for key, images in asked.items():
        for image, where in images:
            (tmp_path / "p.png").unlink(missing_ok=True)
            result = ask(image, **where)
            check_prediction(result, lesion_dataset, tmp_path / "p.png")
            assert result["slice"] == key
            assert result["embedding"] == pytest.approx(first["embedding"], abs=1e-4)


def test_a_lesion_of_the_dataset_is_seen_as_in_training(
    trained_lesanet, lesion_dataset, tmp_path, write_png
):
    """Asked about the image, the network sees what it saw of the dataset."""
    image = open_image(write_png(), spacing_mm=SPACING)
    patch = lesion_patch(image, 102, BOX)
    model = load_model(trained_lesanet.folder)
    pixels = ((patch.pixels - 50) / 255).unsqueeze(0)
    with torch.inference_mode():
        scores = model(pixels, torch.tensor([patch.box_px])).refined_scores.sigmoid()[0]
    result = predict_lesion(trained_lesanet.folder, image.path, box_px=BOX, spacing_mm=SPACING)
    found = {label["term"]: label["score"] for label in result["labels"]}
    names = model.config.label_names
    assert [found[name] for name in names] == pytest.approx(scores.tolist(), abs=1e-6)


@pytest.fixture
def broken(write_png, write_nifti, write_dicom, tmp_path):
    """Images by name, some of which can't be used."""

    def cut(path):
        path.write_bytes(path.read_bytes()[:-200])
        return path

    def to_mr(dataset, _):
        dataset.Modality = "MR"

    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    return {
        "png": write_png(),
        "cut png": cut(write_png("000002_01_01/{:03}.png")),
        "nifti": write_nifti(),
        "cut nifti": cut(write_nifti(name="cut.nii.gz")),
        "mr": write_dicom("mr", change=to_mr),
        "mr file": next(write_dicom("mr2", change=to_mr).iterdir()),
        "dicom": write_dicom("dicom"),
        "text": tmp_path / "notes.txt",
    }


@pytest.mark.parametrize(
    ("image", "where", "message"),
    [
        ("nifti", {}, "{} holds slices 0 to 3: say with --slice in which"),
        ("dicom", {}, "{} holds slices 11 to 14: say with --slice in which"),
        ("nifti", {"slice_index": 9}, "{}: There is no slice 9; the image has slices 0 to 3"),
        ("nifti", {"slice_index": -1}, "{}: There is no slice -1"),
        ("png", {"spacing_mm": SPACING, "slice_index": 7}, "{}: There is no slice 7"),
        ("png", {}, "{} holds no spacing"),
        ("png", {"spacing_mm": (0, 0, 0)}, "{}: A pixel of 0 x 0 mm can't be right"),
        ("png", {"spacing_mm": (70, 80, 2)}, "{}: A pixel of 70 x 80 mm can't be right"),
        ("png", {"spacing_mm": (float("nan"),) * 3}, "{}: A pixel of nan x nan mm can't be right"),
        ("cut png", {"spacing_mm": SPACING}, "Can't read {}: the PNG is truncated"),
        ("cut nifti", {"slice_index": 1}, "Can't read {}: the NIfTI file is truncated"),
        ("mr", {"slice_index": 12}, "The folder {} holds no CT but the modality MR"),
        ("mr file", {}, "{} is no CT but of modality MR"),
        ("text", {}, "Can't read {}: no image reader recognises it"),
        ("nifti", {"slice_index": 1, "box_px": (90, 90, 95, 95)}, "{}: The box (90, 90, 95, 95) l"),
        ("nifti", {"slice_index": 1, "box_px": (-4, 9, -1, 20)}, "{}: The box (-4, 9, -1, 20) l"),
        ("nifti", {"slice_index": 1, "box_px": (41, 9, 44, 20)}, "{}: The box (41, 9, 44, 20) l"),
        ("nifti", {"slice_index": 1, "box_px": (9, 9, 9, 20)}, "{}: The box (9, 9, 9, 20) is em"),
        ("nifti", {"slice_index": 1, "box_px": (9, 20, 12, 10)}, "{}: The box (9, 20, 12, 10) is"),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_used_is_one_sentence(ask, broken, image, where, message, tmp_path):
    with pytest.raises(InputError) as error:
        ask(broken[image], **where)
    told = str(error.value)
    assert told.startswith(message.format(broken[image]))
    assert told.count(str(broken[image])) == 1
    assert "\n" not in told
    assert not (tmp_path / "p.png").exists()


def test_the_picture_is_not_drawn_over_the_image(trained_lesanet, write_png, tmp_path):
    image = write_png()
    before = image.read_bytes()
    where = {"box_px": BOX, "spacing_mm": SPACING}
    with pytest.raises(InputError, match="would be drawn over"):
        predict_lesion(trained_lesanet.folder, image, **where, picture=image)
    assert image.read_bytes() == before
    with pytest.raises(InputError, match="There is no folder"):
        predict_lesion(trained_lesanet.folder, image, **where, picture=tmp_path / "no" / "p.png")


def test_a_folder_without_a_model_is_told(write_png, tmp_path, lesion_dataset):
    with pytest.raises(InputError, match="holds no LesaNet model that can be read"):
        predict_lesion(tmp_path, write_png(), box_px=BOX, spacing_mm=SPACING)
    with pytest.raises(InputError, match="holds no LesaNet model that can be read"):
        evaluate_lesanet(tmp_path, lesion_dataset)


@pytest.fixture(scope="module")
def published(ontology, tmp_path_factory):
    """A network with random weights, as the authors would have saved it, and ours of it."""
    torch.manual_seed(0)
    model = LesaNetModel(LesaNetConfig(id2label=dict(enumerate(ontology.labels))))
    names = dict(layer_names(model))
    weights = {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": weight
        for name, weight in model.state_dict().items()
    }
    folder = tmp_path_factory.mktemp("published")
    torch.save({"epoch": 15, "state_dict": weights}, folder / "model_best.pth.tar")
    convert_lesanet(folder / "model_best.pth.tar", folder / "model")
    return model.eval(), folder


def test_the_published_checkpoint_is_scored_and_asked(published, lesion_dataset, write_nifti):
    model, folder = published
    assert load_model(folder / "model").config.thresholds is None
    batch = LesionDataset(lesion_dataset, "test").__getitems__([0])
    with torch.inference_mode():
        outputs = [
            m(batch["pixel_values"], batch["boxes_px"]).refined_scores
            for m in (model, load_model(folder / "model"))
        ]
    assert torch.equal(*outputs)
    scores = evaluate_lesanet(folder / "model", lesion_dataset)
    assert {row["threshold"] for row in scores["per_label"].values()} == {0.5}
    assert scores["per_label"]["lung"]["positives"] == 2
    asked = predict_lesion(folder / "model", write_nifti(), box_px=BOX, slice_index=1)
    assert {label["threshold"] for label in asked["labels"]} == {0.5}


def test_a_checkpoint_is_not_converted_over_a_model(published, tmp_path):
    _, folder = published
    with pytest.raises(InputError, match="holds a model already"):
        convert_lesanet(folder / "model_best.pth.tar", folder / "model")
    (tmp_path / "x.pth").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"Can't read .*x\.pth"):
        convert_lesanet(tmp_path / "x.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()
