"""From DeepLesion's files, and from reports, to a lesion dataset."""

import json

import pytest
from pyarrow import parquet

from nlp.ontology import Ontology
from pipelines.lesions import ImportConfig, PrepareConfig, import_deeplesion, prepare_lesions
from pipelines.mine import MineConfig, mine_reports
from vision.data import LesionDataset
from vision.errors import InputError
from vision.rows import shards_of

SERIES = ("000001_01_01", "000002_01_01", "000003_01_01")


@pytest.fixture
def images(write_slices):
    *_, folder = (write_slices(series, range(3, 8)) for series in SERIES)
    return folder


@pytest.fixture
def rows():
    """Two lesions on one slice of the first patient, one of each other, one without an image."""
    names = (f"{SERIES[0]}_005", f"{SERIES[0]}_005", f"{SERIES[1]}_004", f"{SERIES[2]}_006")
    return [*((f"{name}.png", {}) for name in names), ("000004_01_01_001.png", {})]


def quiet(_):
    pass


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def config(tmp_path, images, rows, write_dl_info, write_published_labels):
    labels = write_published_labels(
        train=[(0, ["lung", "nodule"], ["mass"], ["liver"]), (4, ["lung"], [], [])],
        val=[(2, ["liver"], [], []), (1, ["cyst"], [], [])],
    )
    return ImportConfig(
        images=images, dl_info=write_dl_info(*rows), labels=labels, out=tmp_path / "out"
    )


def test_published_labels_meet_their_lesions(config, ontology):
    said = []
    result = import_deeplesion(config, said.append)
    assert result.splits == {"train": 1, "validation": 2, "test": 0}
    assert result.labels == {"relevant": 4, "uncertain": 1, "irrelevant": 1}
    assert result.reasons == {"image missing": 1}
    assert "5 rows, 0 of them noisy" in said[0]
    assert "1 without published labels" in said[0]

    train = LesionDataset(config.out, "train")
    assert train.space.names == ontology.labels
    assert train.lesion_ids == [f"{SERIES[0]}_005.png#0"]
    names = {train.space.names[i] for i in train.relevant[0].nonzero().flatten().tolist()}
    assert names == {"lung", "nodule"}
    assert train.boxes_px[0].tolist() == pytest.approx([44, 52, 76, 68], abs=1)
    (line,) = (config.out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    expected = {
        "file": str(config.dl_info),
        "line": 6,
        "lesion_id": "000004_01_01_001.png#0",
        "reason": "image missing",
    }
    assert json.loads(line) == expected


def test_a_torn_patient_is_told_and_kept_unless_asked_otherwise(config, tmp_path):
    said = []
    import_deeplesion(config, said.append)
    assert said[1] == (
        "1 patient is in several splits, with lesions 1 in train, 1 in validation: kept as "
        "published (--split-by-patient puts them into one)."
    )
    together = ImportConfig(**{**vars(config), "out": tmp_path / "b", "split_by_patient": True})
    assert import_deeplesion(together, quiet).splits == {"train": 2, "validation": 1, "test": 0}


def test_without_labels_all_rows_come_in_deeplesions_splits(config, tmp_path):
    plain = ImportConfig(**{**vars(config), "labels": None})
    result = import_deeplesion(plain, quiet)
    assert result.splits == {"train": 4, "validation": 0, "test": 0}
    assert result.labels == {"relevant": 0, "uncertain": 0, "irrelevant": 0}


def test_workers_change_nothing(config, tmp_path):
    import_deeplesion(config, quiet)
    three = ImportConfig(**{**vars(config), "out": tmp_path / "three", "workers": 3})
    import_deeplesion(three, quiet)
    assert snapshot(config.out) == snapshot(tmp_path / "three")


def test_other_labels_than_the_ontologys_are_told(config, write_published_labels, ontology):
    write_published_labels(names=[*ontology.labels[:-1], "unheard of"])
    with pytest.raises(InputError, match=r"other labels than the ontology .* only"):
        import_deeplesion(config, quiet)
    assert not config.out.exists()


def test_the_order_of_the_label_file_may_be_another(config, write_published_labels, ontology):
    write_published_labels(names=sorted(ontology.labels), train=[(0, ["lung", "nodule"], [], [])])
    import_deeplesion(config, quiet)
    train = LesionDataset(config.out, "train")
    names = {train.space.names[i] for i in train.relevant[0].nonzero().flatten().tolist()}
    assert names == {"lung", "nodule"}
    assert train.space.names == Ontology.from_csv().labels


def test_nothing_is_written_when_no_lesion_can_be_used(config, tmp_path):
    (tmp_path / "empty").mkdir()
    before = set(tmp_path.iterdir())
    nothing = ImportConfig(**{**vars(config), "images": tmp_path / "empty"})
    with pytest.raises(
        InputError, match="None of the 4 lesions can be used; 4 times: image missing"
    ):
        import_deeplesion(nothing, quiet)
    assert set(tmp_path.iterdir()) == before


def test_labels_for_no_row_are_one_clear_error(config, write_published_labels):
    write_published_labels()
    with pytest.raises(InputError, match="no row has published labels"):
        import_deeplesion(config, quiet)


REPORTS = (
    ("R1", "P1", "There is a BOOKMARK nodule in the right lower lobe. Also a BOOKMARK liver cyst."),
    ("R2", "P1", "Unchanged BOOKMARK pulmonary mass."),
    ("R3", "P2", "A BOOKMARK renal cyst. A 9 mm node in the left axilla."),
)
LESIONS = {"R1": ["a#0", "b#0"], "R2": ["a#0"], "R3": ["c#0"]}


@pytest.fixture
def mined(tmp_path):
    reports = tmp_path / "reports.jsonl"
    lines = [
        json.dumps({"report_id": r, "patient_id": p, "text": t, "lesion_ids": LESIONS[r]})
        for r, p, t in REPORTS
    ]
    reports.write_text("\n".join(lines), encoding="utf-8")
    lesions = tmp_path / "lesions.csv"
    lesions.write_text(
        "lesion_id,image_file,slice_index,box_px,spacing_mm\n"
        f"a#0,{SERIES[0]}_005.png,5,80 90 120 110,0.8 0.8 2\n"
        f"b#0,{SERIES[1]}/004.png,4,80 90 120 110,0.8 0.8 2\n"
        "c#0,nowhere.png,4,80 90 120 110,0.8 0.8 2\n",
        encoding="utf-8",
    )
    splits = tmp_path / "splits.csv"
    splits.write_text("patient_id,split\nP1,train\nP2,test\n", encoding="utf-8")
    out = tmp_path / "mined"
    config = MineConfig(
        inputs=(reports,), out=out, lesions=lesions, splits=splits, relations="rules"
    )
    mine_reports(config)
    return out


def test_mined_bookmarks_become_lesions_with_patches(mined, images, tmp_path):
    said = []
    config = PrepareConfig(dataset=mined, images=images, out=tmp_path / "out")
    result = prepare_lesions(config, said.append)
    assert said == ["5 bookmarks point to 3 lesions with a place in an image."]
    assert result.splits == {"train": 2, "validation": 0, "test": 0}
    assert result.reasons == {"it has no lesion_id": 1, "image missing": 1}
    train = LesionDataset(tmp_path / "out", "train")
    assert train.lesion_ids == ["a#0", "b#0"]
    assert train.patient_ids == ["P1", "P1"]
    said_of = [
        {train.space.names[i] for i in mask.nonzero().flatten().tolist()} for mask in train.relevant
    ]
    assert {"nodule", "lung mass", "right lower lobe"} <= said_of[0]
    assert "cyst" in said_of[1]
    (shard,) = shards_of(tmp_path / "out")["train"]
    sentences = parquet.read_table(shard, columns=["sentences"])["sentences"][0].as_py()
    assert len(sentences) == 2
    assert "pulmonary mass" in sentences[1]


def test_labels_json_is_that_of_the_mined_dataset(mined, images, tmp_path):
    prepare_lesions(PrepareConfig(dataset=mined, images=images, out=tmp_path / "out"), quiet)
    ours, theirs = (json.loads((f / "labels.json").read_bytes()) for f in (tmp_path / "out", mined))
    assert ours == theirs


def test_a_mined_dataset_is_not_trained_on_as_it_is(mined):
    with pytest.raises(InputError, match="Run: lesionary lesions prepare"):
        LesionDataset(mined, "train")


def test_a_lesion_dataset_is_not_prepared_again(mined, images, tmp_path):
    config = PrepareConfig(dataset=mined, images=images, out=tmp_path / "out")
    prepare_lesions(config, quiet)
    again = PrepareConfig(dataset=tmp_path / "out", images=images, out=tmp_path / "again")
    with pytest.raises(InputError, match="so it was not mined"):
        prepare_lesions(again, quiet)


def test_a_dataset_mined_before_there_was_labels_json_is_told_what_to_do(mined, images, tmp_path):
    (mined / "labels.json").unlink()
    config = PrepareConfig(dataset=mined, images=images, out=tmp_path / "out")
    with pytest.raises(InputError, match="Run 'lesionary mine' on the same reports once more"):
        prepare_lesions(config, quiet)


def test_a_folder_of_something_else_is_one_clear_error(images, tmp_path):
    config = PrepareConfig(dataset=images, images=images, out=tmp_path / "out")
    with pytest.raises(InputError, match="is no dataset of ours"):
        prepare_lesions(config, quiet)
