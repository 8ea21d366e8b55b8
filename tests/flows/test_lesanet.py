"""Training and scoring LesaNet by Prefect is the same, and Prefect sees no lesion."""

from dataclasses import replace
from pathlib import Path

from flows.lesanet import evaluate_lesanet, train_lesanet
from pipelines import lesanet
from pipelines.lesanet import TrainConfig, TrainLesanetConfig

SAME = ("config.json", "model.safetensors", "preprocessor_config.json")


def without_seconds(result):
    history = [{**row, "seconds": None} for row in result["history"]]
    return {**result, "history": history}


def test_flows_do_what_the_pipeline_does(
    stored_by_prefect, trained_lesanet, lesion_dataset, tmp_path
):
    config = replace(trained_lesanet.config, out=tmp_path / "flow")
    result = train_lesanet(config)
    assert without_seconds(result) == without_seconds(trained_lesanet.result)
    for name in SAME:
        assert (config.out / name).read_bytes() == (trained_lesanet.folder / name).read_bytes()
    card = (config.out / "README.md").read_text(encoding="utf-8")
    assert card == (trained_lesanet.folder / "README.md").read_text(encoding="utf-8")

    scores = evaluate_lesanet(config.out, lesion_dataset)
    assert scores == lesanet.evaluate_lesanet(config.out, lesion_dataset)

    flows, tasks, artifacts, logs = stored_by_prefect("Training resnet10 on 8 lesions")
    stored = {a.key: a.data for a in artifacts}
    assert "# LesaNet: the labels of a lesion in a CT image" in stored["train-lesanet"]
    assert '"label": "lung"' in stored["evaluate-lesanet"]
    assert any("Training resnet10 on 8 lesions" in log.message for log in logs)
    assert "000001_01_01" not in repr((flows, tasks, artifacts, logs))


def test_a_deployment_gives_the_parameters_as_json():
    raw = {
        "dataset": "lesions",
        "out": "model",
        "training": {"epochs": 3, "backbone": "resnet10", "loss": {"triplets": 0}},
    }
    config = train_lesanet.validate_parameters({"config": raw})["config"]
    assert isinstance(config, TrainLesanetConfig)
    assert (config.dataset, config.training.epochs) == (Path("lesions"), 3)
    assert isinstance(config.training, TrainConfig)
    assert config.training.loss.triplets == 0
    assert config.training.loss.hard_examples == TrainConfig().loss.hard_examples
