"""The whole path: what a dataset holds, and what it survives."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import load_dataset
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nlp.errors import InputError
from nlp.rows import split_of
from nlp.store import read_manifest
from pipelines.locks import folder_lock
from pipelines.mine import MineConfig, mine_reports

TEXT = (
    "CT CHEST\nFINDINGS:\n1. Unchanged 2.3 x 2.1 cm (4:32) mass in the right lower lobe, "
    "previously 1.9 cm.\n2. BOOKMARK simple cyst of the left kidney, likely benign.\n"
    "LIVER: Normal."
)


@pytest.fixture
def config(tmp_path, write_reports):
    inputs = write_reports(("R1", "P1", TEXT), ("R2", "P2", "A 9 mm node in the left axilla."))
    return MineConfig(inputs=(inputs,), out=tmp_path / "out", relations="rules")


def load(folder):
    """`load_dataset`, which refuses a dataset without any rows."""
    rows = sum(sum(b.rows.values()) for b in read_manifest(folder).batches)
    return load_dataset(str(folder)) if rows else {}


def rows_of(folder):
    return [row for split in load(folder).values() for row in split]


def snapshot(folder):
    """Every file of a dataset but the lock."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_one_row_a_bookmark_with_its_labels(config):
    result = mine_reports(config)
    dataset = load_dataset(str(result.dataset))
    names = dataset["train"].features["relevant"].feature.names
    rows = rows_of(result.dataset)
    assert len(names) == 171
    assert [(r["report_id"], r["bookmark"]["kind"]) for r in rows] == [
        ("R1", "measurement"),
        ("R1", "hyperlink"),
        ("R2", "measurement"),
    ]
    mass = rows[0]
    assert mass["section"] == "FINDINGS"
    assert mass["bookmark"]["sizes_mm"] == [23.0, 21.0]
    assert [b["kind"] for b in mass["other_bookmarks"]] == ["prior"]
    assert {names[i] for i in mass["relevant"]} == {"mass", "right lower lobe"}
    assert {"right lung", "lung", "chest"} <= {names[i] for i in mass["expanded"]}
    assert "left lung" in {names[i] for i in mass["negative"]}


def test_counts_add_up(config):
    counts = mine_reports(config).counts
    assert counts["reports"] == 2
    assert counts["bookmarks"] == 3
    assert counts["pairs"] == counts["relevant"] + counts["uncertain"] + counts["irrelevant"]
    manifest = read_manifest(config.out)
    assert sum(sum(b.rows.values()) for b in manifest.batches) == counts["bookmarks"]
    assert set(manifest.recipe) >= {"lesionary", "ontology", "relations", "lemmatizer"}


def test_the_same_input_again_changes_nothing(config):
    mine_reports(config)
    before = snapshot(config.out)
    result = mine_reports(config)
    assert snapshot(config.out) == before
    assert (result.counts["reports"], result.counts["known"]) == (0, 2)


def test_new_reports_become_a_new_batch(config, write_reports):
    mine_reports(config)
    more = write_reports(("R3", "P3", "New 4 mm nodule."), name="more.jsonl")
    result = mine_reports(replace(config, inputs=(*config.inputs, more)))
    assert (result.counts["reports"], result.counts["known"]) == (1, 2)
    assert sorted(r["report_id"] for r in rows_of(config.out)) == ["R1", "R1", "R2", "R3"]
    assert len(read_manifest(config.out).batches) == 2


def test_a_report_id_with_another_text_is_rejected(config, write_reports):
    mine_reports(config)
    other = write_reports(("R1", "P1", "Another 5 mm nodule."), name="other.jsonl")
    result = mine_reports(replace(config, inputs=(other,)))
    assert result.counts["rejected"] == 1
    (line,) = (config.out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "file": str(other),
        "line": 1,
        "reason": "its report_id belongs to another report that was read before",
    }


def test_bad_records_do_not_stop_the_good_ones(config):
    path = config.inputs[0]
    path.write_text("{broken\n" + path.read_text(encoding="utf-8") + "[]\n", encoding="utf-8")
    result = mine_reports(config)
    assert (result.counts["reports"], result.counts["rejected"]) == (2, 2)
    assert result.reasons == {"broken JSON": 1, "no JSON object": 1}


def test_nothing_usable_is_one_clear_error(config):
    config.inputs[0].write_text("{broken\n", encoding="utf-8")
    with pytest.raises(InputError, match="None of the 1 records can be used"):
        mine_reports(config)


def test_reports_without_bookmarks_come_first_or_last(config, write_reports):
    """A batch without rows has no shard, and a split without rows is not listed."""
    normal = write_reports(("R9", "P9", "Normal chest."), name="normal.jsonl")
    assert mine_reports(replace(config, inputs=(normal,))).counts["bookmarks"] == 0
    mine_reports(config)
    assert {split: len(rows) for split, rows in load_dataset(str(config.out)).items()} == {
        "train": 3
    }


def test_all_three_splits_load(config, write_reports):
    reports = [(f"R{i}", f"P{i}", TEXT) for i in (1, 4, 8)]
    mine_reports(replace(config, inputs=(write_reports(*reports),)))
    dataset = load_dataset(str(config.out))
    assert {split: set(rows["patient_id"]) for split, rows in dataset.items()} == {
        "train": {"P1"},
        "validation": {"P4"},
        "test": {"P8"},
    }


def test_batches_and_workers_do_not_change_the_rows(config, tmp_path, write_reports):
    reports = [(f"R{i}", f"P{i % 7}", f"{TEXT} Node {i} mm.") for i in range(1, 12)]
    config = replace(config, inputs=(write_reports(*reports),))
    one = mine_reports(replace(config, out=tmp_path / "one"))
    many = mine_reports(replace(config, out=tmp_path / "many", batch_reports=3, workers=2))
    assert many.counts == one.counts
    assert len(read_manifest(many.dataset).batches) == 4

    def key(row):
        return row["report_id"], row["bookmark"]["id"]

    assert sorted(rows_of(many.dataset), key=key) == sorted(rows_of(one.dataset), key=key)


def test_other_labels_or_splits_are_refused(config, tmp_path):
    mine_reports(config)
    before = snapshot(config.out)
    labels = tmp_path / "labels.csv"
    labels.write_text("term,class\nnodule,type\n", encoding="utf-8")
    with pytest.raises(InputError, match="mined with other labels"):
        mine_reports(replace(config, ontology=labels))
    splits = tmp_path / "splits.csv"
    splits.write_text("patient_id,split\nP1,test\n", encoding="utf-8")
    with pytest.raises(InputError, match="two splits"):
        mine_reports(replace(config, splits=splits))
    assert snapshot(config.out) == before


def test_another_model_is_told_but_old_batches_stay(config, tmp_path, write_reports):
    mine_reports(config)
    more = write_reports(("R3", "P3", "New 4 mm nodule."), name="more.jsonl")
    result = mine_reports(replace(config, inputs=(more,), lemmatizer="none"))
    assert result.outdated == ("lemmatizer",)


def test_lesions_are_joined_on_their_ids(config, tmp_path):
    record = {"report_id": "R1", "patient_id": "P1", "text": TEXT, "lesion_ids": ["L7"]}
    config.inputs[0].write_text(json.dumps(record) + "\n", encoding="utf-8")
    table = tmp_path / "lesions.csv"
    table.write_text("lesion_id,image_file,box_px\nL7,a.png,1 2 3 4\n", encoding="utf-8")
    mine_reports(replace(config, lesions=table))
    linked = [r for r in rows_of(config.out) if r["lesion_id"]]
    assert [(r["bookmark"]["kind"], r["image_file"], r["box_px"]) for r in linked] == [
        ("hyperlink", "a.png", [1.0, 2.0, 3.0, 4.0])
    ]


def test_given_splits_are_kept(config, tmp_path):
    table = tmp_path / "splits.csv"
    table.write_text("patient_id,split\nP1,test\nP2,validation\n", encoding="utf-8")
    mine_reports(replace(config, splits=table))
    dataset = load_dataset(str(config.out))
    assert set(dataset["test"]["patient_id"]) == {"P1"}
    assert set(dataset["validation"]["patient_id"]) == {"P2"}


def test_two_runs_do_not_write_one_dataset(config):
    with folder_lock(config.out), pytest.raises(InputError, match="Another run is writing"):
        mine_reports(config)


PIECES = st.sampled_from(
    ["A 2 cm mass", " in the left lung", " and right lung", ". ", "\n", "BOOKMARK node", " 9 mm",
     " of the liver", ", likely cyst", " (4:32)", "No ", "é×☃ ", "previously 1 cm", " bilateral ",
     "adrenal glands"]
)  # fmt: skip
REPORTS = st.lists(
    st.tuples(st.sampled_from(["P1", "P2", "P4", "P8"]), st.lists(PIECES, min_size=1).map("".join)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25)
@given(reports=REPORTS, cut=st.integers(0, 6))
def test_the_promises_of_a_dataset(reports, cut, tmp_path_factory, ontology):
    """Offsets, patients, ancestors, conflicts, and mining in two goes."""
    folder = tmp_path_factory.mktemp("promises")
    lines = [
        json.dumps({"report_id": f"R{i}", "patient_id": patient, "text": text})
        for i, (patient, text) in enumerate(reports)
        if text.strip()
    ]
    texts = {f"R{i}": text for i, (_, text) in enumerate(reports)}
    inputs = folder / "reports.jsonl"
    config = MineConfig(inputs=(inputs,), out=folder / "out", relations="rules")
    assume(lines)
    for part in (lines[: max(cut, 1)], lines):
        inputs.write_text("\n".join(part), encoding="utf-8")
        mine_reports(config)
    names = ontology.labels
    seen = set()
    for row in rows_of(config.out):
        text = texts[row["report_id"]]
        assert text[row["sentence_start"] : row["sentence_end"]] == row["sentence"]
        for span in (row["bookmark"], *row["other_bookmarks"], *row["mentions"]):
            assert text[span["start"] : span["end"]] == span["text"] != ""
            assert row["sentence_start"] <= span["start"] < span["end"] <= row["sentence_end"]
        expanded = {names[i] for i in row["expanded"]}
        assert expanded == ontology.expand(names[i] for i in row["relevant"])
        assert not expanded & {names[i] for i in row["negative"]}
        assert row["conflicts"] == [f"{a} / {b}" for a, b in ontology.conflicts(expanded)]
        key = row["report_id"], row["bookmark"]["id"]
        assert key not in seen
        seen.add(key)
    for split, rows in load(config.out).items():
        assert all(split_of(patient) == split for patient in rows["patient_id"])


KILLED = """
import sys
from pathlib import Path
from pipelines.mine import MineConfig, mine_reports
mine_reports(MineConfig(
    inputs=(Path(sys.argv[1]),), out=Path(sys.argv[2]), relations="rules", batch_reports=40,
))
"""


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3, 0.5])
def test_a_killed_run_is_completed_by_the_next(delay, tmp_path, write_reports):
    """Killed at some moment while batches are written; the delay counts from the first of them."""
    path = write_reports(*((f"R{i}", f"P{i}", f"{TEXT} Node {i} mm.") for i in range(400)))
    out = tmp_path / "out"
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(out)])
    while not (out / "manifest.json").exists() and run.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    if (out / "README.md").exists():
        batches = read_manifest(out).batches
        ids = [r["report_id"] for r in rows_of(out)]
        assert len(set(ids)) in (40 * len(batches), 40 * (len(batches) - 1))  # card, then rows
    config = MineConfig(inputs=(path,), out=out, relations="rules", batch_reports=40)
    result = mine_reports(config)
    assert result.counts["reports"] + result.counts["known"] == 400
    rows = rows_of(out)
    assert len({(r["report_id"], r["bookmark"]["id"]) for r in rows}) == len(rows) == 400 * 3
    named = {f"{split}-{b.digest}.parquet" for b in read_manifest(out).batches for split in
             ("train", "validation", "test")}  # fmt: skip
    assert {p.name for p in (out / "data").iterdir()} == named
    assert not (out / ".staging").exists()


def test_memory_does_not_hold_the_reports(config):
    """Between batches only paths are handed on."""
    from pipelines.mine import plan_batches

    plan = plan_batches(config)
    assert all(isinstance(path, Path) for path in plan.batches)
