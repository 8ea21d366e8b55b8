"""Variants of LesaNet, each trained once, compared in tables."""

import csv
import json
import math
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from pipelines import ablation
from pipelines.ablation import AblateConfig, Places, Run, _gpus, ablate_lesanet, do_run, plan_runs
from pipelines.ablation_tables import METRICS, Cell, paired_p, write_tables
from pipelines.errors import INPUT_ERRORS
from pipelines.lesanet import TrainConfig, evaluate_lesanet
from pipelines.locks import folder_lock
from pipelines.variants import DEFAULT, FULL, GROUPS, VARIANTS, choose_variants, trained
from vision.data import LesionDataset
from vision.errors import InputError

RECIPE = TrainConfig(epochs=1, batch_size=4, backbone="resnet10")
NAMES = ("no-rhem", "labels-ru")


def quiet(_):
    pass


@pytest.fixture(scope="session")
def gold(lesion_dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("gold") / "gold.csv"
    lines = [
        f'"{lesion}",lung|nodule' for lesion in LesionDataset(lesion_dataset, "test").lesion_ids
    ]
    path.write_text("\n".join(["lesion_id,labels", *lines[:2]]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def done(lesion_dataset, gold, tmp_path_factory):
    """An ablation of two trainings on the given split."""
    out = tmp_path_factory.mktemp("ablation") / "results"
    config = AblateConfig(
        dataset=lesion_dataset, out=out, variants=NAMES, gold=gold, training=RECIPE
    )
    ablate_lesanet(config, say=quiet)
    return config


@pytest.fixture
def copy(done, tmp_path):
    """The same ablation in a folder of its own."""
    shutil.copytree(done.out, tmp_path / "results")
    return replace(done, out=tmp_path / "results")


def no_training(*_, **__):
    raise AssertionError("trained again")


def test_every_variant_changes_the_recipe_or_names_the_one_it_is():
    recipes = {name: variant.change(RECIPE) for name, variant in VARIANTS.items() if name != FULL}
    for name, recipe in recipes.items():
        same = VARIANTS[name].same_as
        assert (recipe == RECIPE) == (same is not None), name
        assert same is None or VARIANTS[same].same_as is None
    own = [repr(recipes[name]) for name in recipes if not VARIANTS[name].same_as]
    assert len(own) == len(set(own))
    assert recipes["no-propagation"].loss.propagated == 0
    assert recipes["no-rhem"].loss.hard_examples == 0
    assert recipes["no-triplets"].loss.triplets == 0
    assert not recipes["no-expansion"].expansion
    assert recipes["no-text-mining"].positives == "RUI"
    assert recipes["rhem-unreliable"].loss.unreliable
    assert [recipes[f"batch-{n}"].batch_size for n in ("quarter", "half", "double")] == [1, 2, 8]


def test_groups_and_names_choose_variants():
    assert set(choose_variants(["all"])) == set(VARIANTS) == set(choose_variants(GROUPS))
    assert choose_variants([]) == (FULL,)
    assert len(choose_variants(DEFAULT)) == 4 + 5
    assert trained(choose_variants(["labels"])) == (FULL, "labels-r", "no-text-mining")
    with pytest.raises(InputError, match=r"no variant 'nope'\. Choose of the groups all, methods"):
        choose_variants(["nope"])


def test_each_recipe_is_trained_once_and_stored(done):
    stored = sorted(p.relative_to(done.out / "results") for p in done.out.rglob("results/*/*"))
    assert [str(path) for path in stored] == ["given/full.json", "given/no-rhem.json"]
    result = json.loads((done.out / "results/given/no-rhem.json").read_text())
    model = done.out / "models/given/no-rhem"
    assert result["mined"] == evaluate_lesanet(model, done.dataset)
    assert result["gold"] == evaluate_lesanet(model, done.dataset, gold=done.gold)
    assert result["gold"]["lesions"] == 2
    assert result["config"]["loss"]["hard_examples"] == 0
    assert not (model / "checkpoints").exists()


def test_what_is_done_is_never_trained_again(copy, monkeypatch):
    before = {p: p.read_bytes() for p in copy.out.glob("*.*")}
    monkeypatch.setattr(ablation, "train_lesanet", no_training)
    said = []
    assert ablate_lesanet(copy, say=said.append) == copy.out / "ablation.html"
    assert said == ["2 runs, of which 2 are done already."]
    for path in (*before, copy.out / "models"):
        path.unlink() if path.is_file() and path.name not in ("experiment.json", ".lock") else None
    shutil.rmtree(copy.out / "models")
    write_tables(copy.out, choose_variants(copy.variants))
    assert {p: p.read_bytes() for p in before} == before


def test_a_result_that_is_lost_is_scored_from_the_model(copy, monkeypatch):
    path = copy.out / "results/given/no-rhem.json"
    before = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(ablation, "train_lesanet", no_training)
    ablate_lesanet(copy, say=quiet)
    assert path.read_bytes() == before


def test_another_gold_table_is_scored_without_training(copy, tmp_path, monkeypatch):
    other = tmp_path / "other.csv"
    other.write_text(copy.gold.read_text().replace("nodule", "cyst"), encoding="utf-8")
    monkeypatch.setattr(ablation, "train_lesanet", no_training)
    path = copy.out / "results/given/full.json"
    before = json.loads(path.read_text())
    ablate_lesanet(replace(copy, gold=other), say=quiet)
    after = json.loads(path.read_text())
    assert before["mined"] == after["mined"]
    assert after["gold"]["per_label"]["cyst"]["positives"] == 2


def test_a_training_that_was_stopped_goes_on(copy, monkeypatch):
    config = replace(copy, out=copy.out / "anew", variants=(), training=replace(RECIPE, epochs=2))
    run = Run(variant=FULL, split="given")
    train = ablation.train_lesanet

    def killed(trained, **options):
        def stop(message):
            if message.startswith("epoch"):
                raise KeyboardInterrupt

        train(trained, say=stop)

    monkeypatch.setattr(ablation, "train_lesanet", killed)
    with pytest.raises(KeyboardInterrupt):
        ablate_lesanet(config, say=quiet)
    assert list(config.out.rglob("step-*.pt"))
    assert not (config.out / "results").exists()

    resumed = []

    def going_on(trained, **options):
        resumed.append(trained.resume)
        return train(trained, **options)

    monkeypatch.setattr(ablation, "train_lesanet", going_on)
    ablate_lesanet(config, say=quiet)
    assert resumed == [True]
    stopped = json.loads((config.out / "results/given/full.json").read_text())
    monkeypatch.undo()
    whole = do_run(run, replace(config, out=copy.out / "whole"))
    assert stopped["mined"] == whole["mined"]


def test_a_training_that_was_stopped_before_its_checkpoint_begins_anew(copy):
    shutil.rmtree(copy.out / "results")
    shutil.rmtree(copy.out / "models/given/full")
    (copy.out / "models/given/full").mkdir()
    (copy.out / "models/given/full/config.json").write_text("{")
    ablate_lesanet(copy, say=quiet)
    assert (copy.out / "results/given/full.json").exists()


def test_a_training_that_fails_stops_no_other(copy, monkeypatch):
    (copy.out / "results/given/full.json").unlink()
    (copy.out / "results/given/no-rhem.json").unlink()

    def fail(model, *_, **options):
        if model.name == "full":
            raise InputError("The training diverges.")
        return evaluate_lesanet(model, *_, **options)

    monkeypatch.setattr(ablation, "evaluate_lesanet", fail)
    with pytest.raises(InputError, match=r"1 of 2 runs failed.*\nLesaNet, the given split: The"):
        ablate_lesanet(copy, say=quiet)
    assert (copy.out / "results/given/no-rhem.json").exists()


def test_other_lesions_or_settings_are_refused(copy, tmp_path, import_phantom):
    with pytest.raises(InputError, match="trained with epochs 1 \\(now 7\\)"):
        plan_runs(replace(copy, training=replace(RECIPE, epochs=7)), say=quiet)
    rows = [(row, ["lung"], [], []) for row in range(9)]
    other = import_phantom(tmp_path / "other", train=rows[:4], val=rows[4:6], test=rows[6:])
    with pytest.raises(InputError, match="holds results of another dataset \\(lesions\\)"):
        plan_runs(replace(copy, dataset=other), say=quiet)
    without = import_phantom(tmp_path / "without", train=rows[:4], val=rows[4:])
    with pytest.raises(InputError, match="has no test lesions"):
        plan_runs(replace(copy, dataset=without), say=quiet)


def test_two_at_once_do_not_meet(copy):
    with (
        folder_lock(copy.out),
        pytest.raises(INPUT_ERRORS, match="Another run is writing"),
        folder_lock(copy.out),
    ):
        pass


def test_random_splits_are_made_once_and_trained_on(copy):
    config = replace(copy, splits=2, variants=("no-rhem",), gold=None)
    runs = plan_runs(config, say=quiet)
    assert [(run.split, run.variant) for run in runs] == [
        (split, name) for split in "12" for name in ("full", "no-rhem")
    ]
    assert ablation.recipe_of(runs[2], config).seed == RECIPE.seed + 2
    learned = [LesionDataset(copy.out / "datasets" / k, "train").lesion_ids for k in "12"]
    assert set(learned[0]) != set(learned[1])
    assert plan_runs(config, say=quiet) == runs


def test_runs_in_other_processes_store_the_same(copy):
    run = Run(variant=FULL, split="given")
    config = replace(copy, out=copy.out / "anew", jobs=2)
    result = Places(2).do(run, config)
    before = json.loads((copy.out / "results/given/full.json").read_text())
    assert result["mined"]["labels_scored"] == before["mined"]["labels_scored"]
    assert result["mined"]["auc"] == pytest.approx(before["mined"]["auc"], abs=0.05)
    assert json.loads((config.out / "results/given/full.json").read_text())["variant"] == FULL


def test_gpus_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert _gpus() == ["3", "5"]
    places = Places(3)
    assert [places.free.get() for _ in range(3)] == ["3", "5", "3"]


# ---- tables, from made-up scores


def store(out, split, name, shift=0.0, gold=True):
    rng = np.random.default_rng([ord(split[-1]), len(name)])
    scores = {m: float(rng.uniform(0.3, 0.6)) + shift for m in (*METRICS, "precision_zero")}
    scores |= {"labels_scored": 9, "lesions": 30}
    result = {"variant": name, "split": split, "seconds": 3.0, "mined": scores}
    path = out / "results" / split / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result | {"gold": scores if gold else None}), encoding="utf-8")
    return scores


@pytest.fixture
def results(tmp_path):
    """Four variants on three random splits, one of them on two only."""
    experiment = {"name": "<b>x</b>", "recipe": {"backbone": "v", "epochs": 2, "batch_size": 4}}
    (tmp_path / "experiment.json").write_text(json.dumps(experiment), encoding="utf-8")
    kept = {}
    for split in "123":
        kept[split, FULL] = store(tmp_path, split, FULL)
        kept[split, "no-rhem"] = store(tmp_path, split, "no-rhem", shift=-0.2)
        kept[split, "warp"] = store(tmp_path, split, "warp", shift=0.3, gold=False)
    kept["1", "labels-r"] = store(tmp_path, "1", "labels-r")
    return tmp_path, kept


def test_table_3_holds_mean_deviation_and_p(results):
    out, kept = results
    write_tables(out, ["labels-ru"])
    with (out / "table3.csv").open(encoding="utf-8", newline="") as file:
        rows = {(r["variant"], r["labels"]): r for r in csv.DictReader(file)}
    row = rows["no-rhem", "mined labels"]
    values = [kept[split, "no-rhem"]["f1"] for split in "123"]
    full = [kept[split, FULL]["f1"] for split in "123"]
    mean = sum(values) / 3
    assert float(row["f1"]) == pytest.approx(mean)
    assert float(row["f1_std"]) == pytest.approx(
        math.sqrt(sum((v - mean) ** 2 for v in values) / 2)
    )
    assert float(row["f1_p"]) == pytest.approx(slow_p(values, full))
    assert rows[FULL, "mined labels"]["f1_p"] == ""
    assert rows["labels-ru", "mined labels"]["f1"] == rows[FULL, "mined labels"]["f1"]
    assert rows["labels-r", "mined labels"]["splits"] == "1"
    assert rows["labels-r", "mined labels"]["f1_std"] == ""
    assert ("warp", "gold labels") not in rows
    scores = pd.read_csv(out / "scores.csv")
    assert len(scores) == 2 * 3 + 2 * 3 + 3 + 2


def slow_p(values, others):
    """Student's paired test from its formula; the tail by the incomplete beta function."""
    d = [a - b for a, b in zip(values, others, strict=True)]
    n, mean = len(d), sum(d) / len(d)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in d) / (n - 1))
    t = mean / (deviation / math.sqrt(n))
    return special.betainc((n - 1) / 2, 0.5, (n - 1) / (n - 1 + t * t))


@given(st.integers(2, 6), st.integers(0, 2**16))
def test_p_is_that_of_the_formula(n, seed):
    values, others = np.random.default_rng(seed).normal(size=(2, n))
    splits = [str(k) for k in range(n)]
    one, two = pd.Series(values, splits), pd.Series(others, splits)
    assert paired_p(one, two[::-1]) == pytest.approx(slow_p(values, others))
    assert paired_p(one, one) is None
    assert paired_p(one[:1], two) is None
    assert paired_p(one + 0.5, one) is None  # a test needs some deviation


def test_best_and_worst_are_marked_as_shown(results):
    out, _ = results
    write_tables(out)
    text = (out / "ablation.md").read_text(encoding="utf-8")
    first = text.split("## ")[1]
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith("| ")][2:]
    for column in range(1, 5):
        cells = [row[column].strip() for row in rows]
        shown = [float(cell.strip("*")) for cell in cells]
        for cell, value in zip(cells, shown, strict=True):
            assert cell.startswith("**") == (value == max(shown))
            assert bool(re.match(r"\*\d", cell)) == (value == min(shown))
    assert "–" in first  # WARP has no gold labels


def test_cells_are_written_for_readers():
    assert Cell(value=None).text == "–"
    assert Cell(value=0.5, std=0.0123).text == "0.500 ± 0.012"
    assert Cell(value=0.5, p=0.0301).significance == "p = 0.030*"
    assert Cell(value=0.5, p=1e-9).significance == "p < 0.001*"
    assert Cell(value=0.5, p=0.05).significance == "p = 0.050"


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.rows = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in ("meta", "line", "circle", "path"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th") and self.rows:
            self.rows[-1].append(data)


def test_the_page_is_whole_escaped_and_needs_no_network(results):
    out, kept = results
    text = write_tables(out).read_text(encoding="utf-8")
    page = Page(text.split(">", 1)[1].replace("/>", ">"))
    assert not page.open
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "<b>x" not in text
    assert not re.search(r"https?://|url\(|@import|<script", text)
    assert not [name for name, _ in page.attributes if name in ("src", "href")]
    assert f"{kept['1', FULL]['auc']:.3f}" in next(r for r in page.rows if r[0] == "LesaNet")
    assert text.count("<circle") == 2 * 2 * 3  # no-rhem and WARP, AUC and F1, three splits
    assert '"best" title="best"' in text
    assert "▲" in text  # not by colour alone


def test_no_result_or_a_broken_one_is_told(tmp_path, results):
    with pytest.raises(InputError, match="holds no finished run"):
        write_tables(tmp_path / "empty")
    path = results[0] / "results/1/full.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"{path} can't be read as the result of a run")):
        write_tables(results[0])


def test_a_failure_leaves_no_half_result(copy, monkeypatch):
    path = copy.out / "results/given/full.json"
    path.unlink()

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("vision.run_folder.os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        do_run(Run(variant=FULL, split="given"), copy)
    assert not path.exists()
