"""Each method: train, score and ask through the same functions."""

import pytest
from transformers import AutoModel

from pipelines.lesanet import (
    TrainConfig,
    TrainLesanetConfig,
    evaluate_lesanet,
    predict_lesion,
    train_lesanet,
)
from vision.methods import METHODS


@pytest.mark.parametrize("method", [name for name in METHODS if name != "lesanet"])
def test_each_method_gives_a_model_for_all_commands(method, lesion_dataset, write_nifti, tmp_path):
    training = TrainConfig(method=method, backbone="resnet10", batch_size=4, epochs=1)
    out = tmp_path / "model"
    config = TrainLesanetConfig(dataset=lesion_dataset, out=out, training=training)
    said = []
    result = train_lesanet(config, say=said.append)

    assert "nan" not in said[1]
    again = evaluate_lesanet(out, lesion_dataset, split="validation")
    assert again == {name: result[name] for name in again}
    answer = predict_lesion(out, write_nifti(), box_px=(10, 8, 22, 20), slice_index=2)
    assert len(answer["labels"]) == 171
    assert all(0 <= label["score"] <= 1 for label in answer["labels"])
    assert len(answer["embedding"]) == 256
    assert len(AutoModel.from_pretrained(out).config.label_names) == 171
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"A baseline of LesaNet ({method})" in card
    assert ("holds embeddings and labels" in card) == (method == "embedding")
