"""Training a tiny network: it learns, repeats itself, keeps the best epoch, says what is wrong."""

import csv
import types
from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from vision import training
from vision.errors import InputError
from vision.labels import LabelSpace
from vision.lesanet import LesaNetModel
from vision.processing import LesaNetImageProcessor
from vision.run_folder import latest_checkpoint
from vision.training import evaluate, fit, predict


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_overfits_one_batch(tiny, tmp_path):
    data = tiny.TinyData(8)
    _, history = tiny.train(tmp_path, data=data, validation=data, epochs=40, batch_size=8)
    assert history[-1]["total"] < history[0]["total"] / 10
    assert history[-1]["validation_auc"] == 1
    assert history[-1]["validation_f1"] == 1


def test_the_same_seed_gives_the_same_weights(tiny, tmp_path):
    weights = [
        tiny.train(tmp_path / name, seed=seed)[0].state_dict()
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    ]
    assert same(weights[0], weights[1])
    assert not same(weights[0], weights[2])


def test_the_folder_holds_the_best_epoch(tiny, tmp_path, monkeypatch):
    after = []

    def scripted(model, data, **settings):
        after.append({k: v.clone() for k, v in model.state_dict().items()})
        f1 = [0.2, 0.8, 0.5][len(after) - 1]
        table = pd.DataFrame({"threshold": [f1] * 5})
        return types.SimpleNamespace(averages={"f1": f1, "auc": None}, table=table)

    monkeypatch.setattr(training, "evaluate", scripted)
    model, history = tiny.train(tmp_path)

    assert [row["validation_f1"] for row in history] == [0.2, 0.8, 0.5]
    assert same(load_file(tmp_path / "model.safetensors"), after[1])
    assert same(model.state_dict(), after[1])
    assert not same(after[1], after[2])
    assert LesaNetModel.from_pretrained(tmp_path).config.thresholds == [0.8] * 5


def test_the_folder_is_one_of_transformers(tiny, tmp_path):
    model = tiny.make_model()
    data = tiny.TinyData()
    fit(
        model,
        data,
        tiny.TinyData(seed=1),
        tiny.make_config(),
        tmp_path,
        save_also=[LesaNetImageProcessor.from_config(model.config)],
    )
    again = LesaNetModel.from_pretrained(tmp_path)
    assert again.config.label_names == list(tiny.SPACE.names)
    assert not again.training
    assert LesaNetImageProcessor.from_pretrained(tmp_path).mean == 50
    for name, values in predict(model, data).items():
        torch.testing.assert_close(predict(again, data, batch_size=5)[name], values)
    assert {p.name for p in tmp_path.iterdir()} == {
        *("model.safetensors", "config.json", "preprocessor_config.json"),
        *("history.csv", "checkpoints"),
    }


def test_the_history_is_a_table(tiny, tmp_path, capsys):
    _, history = tiny.train(tmp_path)
    with (tmp_path / "history.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert rows == history
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.01, 0.01, 0.001])
    terms = ["total", "weighted_bce", "hard_examples", "triplets", "propagated"]
    assert list(rows[0])[3:8] == terms
    assert capsys.readouterr() == ("", "")  # no bar where no one sees it


def test_a_loss_that_is_off_is_not_computed(tiny, tmp_path):
    loss = replace(tiny.make_config().loss, triplets=0.0, hard_examples=0.0)
    _, history = tiny.train(tmp_path, loss=loss, epochs=1)
    assert {"weighted_bce", "propagated"} <= history[0].keys()
    assert not {"triplets", "hard_examples"} & history[0].keys()


def test_lesions_without_a_positive_label_are_left_out(tiny, tmp_path):
    data = tiny.TinyData(12)
    data.relevant[4:] = False
    seen = []
    data.fuse = lambda: seen.append(1)
    _, history = tiny.train(tmp_path, data=data, epochs=2)
    assert [row["steps"] for row in history] == [1, 1]
    assert len(seen) == 2


def test_fewer_lesions_than_a_batch_are_one_batch(tiny, tmp_path):
    _, history = tiny.train(tmp_path, data=tiny.TinyData(5), batch_size=128, epochs=1)
    assert history[0]["steps"] == 1


def test_scores_with_given_thresholds(tiny):
    model, data = tiny.make_model(), tiny.TinyData()
    never = evaluate(model, data, thresholds=torch.full((5,), 1.0))
    assert never.table["predicted"].sum() == 0
    assert evaluate(model, data).averages["auc"] == never.averages["auc"]
    assert model.training


def test_lesions_without_a_positive_label_are_not_scored(tiny):
    model, data, more = tiny.make_model(), tiny.TinyData(12), tiny.TinyData(24, seed=2)
    more.pixels[:12], more.relevant[:12] = data.pixels, data.relevant
    more.relevant[12:] = False
    more.uncertain[12:, 1] = True
    scores = evaluate(model, more)
    assert scores.lesions == scores.to_json()["lesions"] == 12
    assert scores.table.equals(evaluate(model, data).table)


def test_without_any_positive_label_nothing_is_scored(tiny):
    data = tiny.TinyData()
    data.relevant[:] = False
    scores = evaluate(tiny.make_model(), data)
    assert scores.averages["labels_scored"] == 0
    assert scores.averages["auc"] is None


def test_a_diverging_training_stops_and_keeps_the_last_checkpoint(tiny, tmp_path):
    data = tiny.TinyData()
    calls = []

    def spoil():
        calls.append(1)
        if len(calls) == 8:
            data.pixels.fill_(torch.nan)

    data.fuse = spoil
    with pytest.raises(InputError, match=r"diverges: in epoch 3, step 8, .* Lower the"):
        tiny.train(tmp_path, data=data)
    assert latest_checkpoint(tmp_path).name == "step-00000006.pt"
    _, history = tiny.train(tmp_path, resume=True, learning_rate=0.001)
    assert len(history) == 3


def test_a_rate_far_too_high_is_told(tiny, tmp_path):
    with pytest.raises(InputError, match="diverge"):
        tiny.train(tmp_path, learning_rate=1e30)
    assert latest_checkpoint(tmp_path) is None


def test_nothing_to_learn_is_told(tiny, tmp_path):
    data = tiny.TinyData()
    data.relevant[:] = False
    with pytest.raises(InputError, match="None of the 12 training lesions has a positive label"):
        tiny.train(tmp_path, data=data)
    assert not list(tmp_path.iterdir())


def test_another_model_is_not_written_over(tiny, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds a model already \(config.json\)"):
        tiny.train(tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"


def test_a_begun_training_is_not_written_over(tiny, tmp_path):
    tiny.train(tmp_path, epochs=1)
    with pytest.raises(InputError, match=r"was begun\. Go on with --resume"):
        tiny.train(tmp_path, epochs=1)


def test_a_folder_that_cannot_be_made_is_told(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"Can't write into .*file.out"):
        tiny.train(tmp_path / "file" / "out")


def test_resuming_needs_a_checkpoint(tiny, tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint to resume from"):
        tiny.train(tmp_path, resume=True)


def test_resuming_needs_a_sound_checkpoint(tiny, tmp_path):
    tiny.train(tmp_path, epochs=1)
    path = latest_checkpoint(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"Can't read the checkpoint .*step-00000003.pt"):
        tiny.train(tmp_path, epochs=1, resume=True)


def test_resuming_needs_a_checkpoint_of_this_network(tiny, tmp_path):
    tiny.train(tmp_path, epochs=1)
    path = latest_checkpoint(tmp_path)
    content = torch.load(path, weights_only=True)
    content["weights"].popitem()
    for strange in (content, [1]):
        torch.save(strange, path)
        with pytest.raises(InputError, match=r"Can't read the checkpoint .*step-00000003.pt"):
            tiny.train(tmp_path, epochs=1, resume=True)


def test_resuming_needs_the_same_settings(tiny, tmp_path):
    tiny.train(tmp_path, epochs=1)
    with pytest.raises(
        InputError, match=r"was trained with epochs 1 \(now 2\), seed 123 \(now 4\)"
    ):
        tiny.train(tmp_path, epochs=2, seed=4, resume=True)


def renamed(data):
    space = data.space
    data.space = LabelSpace(
        names=("spine", *space.names[1:]),
        classes=space.classes,
        ancestors=space.ancestors,
        exclusives=space.exclusives,
    )
    return data


def test_resuming_needs_the_same_labels(tiny, tmp_path, monkeypatch):
    tiny.train(tmp_path, epochs=1)
    data, validation = renamed(tiny.TinyData()), renamed(tiny.TinyData(seed=1))
    monkeypatch.setattr(tiny, "SPACE", data.space)
    with pytest.raises(InputError, match="'spine' is new, 'chest' is missing") as caught:
        tiny.train(tmp_path, data=data, validation=validation, epochs=1, resume=True)
    assert "the checkpoint step-00000003.pt" in str(caught.value)


def test_both_parts_need_the_same_labels(tiny, tmp_path):
    with pytest.raises(InputError, match="other labels than the training part"):
        tiny.train(tmp_path, validation=renamed(tiny.TinyData()))


def test_mixed_precision_needs_a_gpu(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="needs a GPU"):
        tiny.train(tmp_path, mixed_precision="bf16")


def test_a_finished_training_resumes_to_itself(tiny, tmp_path):
    model, history = tiny.train(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # as if it had been killed before it wrote the model
    again, history_again = tiny.train(tmp_path, resume=True)
    assert history_again == history
    assert same(again.state_dict(), model.state_dict())
    assert same(load_file(tmp_path / "model.safetensors"), model.state_dict())
