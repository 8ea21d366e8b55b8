"""The report on a network: its files, its figures, and the gallery, read back."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
import torch
from PIL import Image

from nlp.store import label_space
from pipelines.figures import ReportConfig, write_report
from pipelines.gallery import SIGNS, decided
from pipelines.lesanet import evaluate_lesanet
from pipelines.tables import Source
from vision.errors import InputError
from vision.images import Patch
from vision.labels import LabelSpace
from vision.rows import Lesion, write_lesions

UNSAFE = "<script>alert('x')</script> & a 9 mm nodule."
TABLES = "per_label.csv per_label.md averages.csv averages.md calibration.csv".split()
FIGURES = "auc frequency_subsets roc precision_recall calibration".split()


def quiet(_):
    pass


@pytest.fixture(scope="module")
def dataset(ontology, tmp_path_factory):
    """Six test lesions: lung nodules and liver cysts in turn, the last said nothing of."""
    folder = tmp_path_factory.mktemp("lesions") / "lesions"
    folder.mkdir()
    rng = torch.Generator().manual_seed(5)

    def row(number, split):
        said = ("lung", "nodule") if number % 2 else ("liver", "cyst")
        lesion = Lesion(
            lesion_id=f"{split}-{number}",
            patient_id=f"P{number}",
            split=split,
            image_file="x.png",
            slice_index=1,
            box_px=(50, 50, 70, 70),
            relevant=() if number == 5 else said,
            uncertain=("large",),
            sentences=(UNSAFE, UNSAFE, f"Sentence {number}."),
        )
        pixels = 60 + 10 * torch.rand(3, 120, 120, generator=rng)
        return lesion, Patch(pixels=pixels, box_px=(50, 50, 70, 70))

    rows = [row(number, split) for split in ("train", "test") for number in range(6)]
    write_lesions(rows, folder, label_space(ontology))
    return folder


@pytest.fixture(scope="module")
def gold(tmp_path_factory):
    """All labels of two of the lesions, one of them without a word in its report."""
    path = tmp_path_factory.mktemp("gold") / "gold.csv"
    path.write_text(
        "lesion_id,labels\ntest-1,right lower lobe | lung nodule\ntest-5,liver\nother,lung\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def report(trained_lesanet, dataset, gold, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "report"
    config = ReportConfig(model=trained_lesanet.folder, dataset=dataset, out=out, gold=gold)
    return out, write_report(config, say=quiet)


class Page(HTMLParser):
    """The elements of a page with their attributes, and the texts of some."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]


@pytest.fixture(scope="module")
def page(report):
    return Page((report[0] / "gallery.html").read_text(encoding="utf-8"))


def test_a_report_has_tables_and_figures_for_both_sources(report):
    out, _ = report
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    expected = {f"{source}/{name}" for source in ("mined", "gold") for name in TABLES}
    expected |= {f"{source}/{name}.png" for source in ("mined", "gold") for name in FIGURES}
    expected |= {f"propagation.{kind}" for kind in ("csv", "md", "png")}
    expected |= {"label_frequency.csv", "label_frequency.png", "report.md", "gallery.html"}
    assert files == expected
    for name in files:
        if name.endswith(".png"):
            with Image.open(out / name) as picture:
                assert picture.width >= 500


def test_the_scores_are_those_of_the_evaluation(report, trained_lesanet, dataset, gold):
    _, result = report
    for name, table in (("mined", None), ("gold", gold)):
        expected = evaluate_lesanet(trained_lesanet.folder, dataset, gold=table)
        found = json.loads(json.dumps(result["sources"][name], allow_nan=False))
        assert found.pop("calibration").keys() == {"ece", "ece_by_class", "ece_by_label"}
        for row in found["per_label"].values():
            scored = row["auc"] is not None
            assert (row.pop("average_precision") is not None) == scored
            assert (row.pop("calibration_error") is not None) == scored
        assert found == expected
    assert (result["sources"]["mined"]["lesions"], result["sources"]["gold"]["lesions"]) == (5, 2)


def test_the_table_has_every_label_by_class_and_frequency(report, ontology):
    out, result = report
    table = pd.read_csv(out / "mined" / "per_label.csv", index_col="label")
    assert sorted(table.index) == sorted(ontology.labels)
    assert list(dict.fromkeys(table["class"])) == ["bodypart", "type", "attribute"]
    for _, rows in table.groupby("class"):
        assert rows["training_positives"].is_monotonic_decreasing
    row, scores = table.loc["nodule"], result["sources"]["mined"]["per_label"]["nodule"]
    assert (row["positives"], row["training_positives"]) == (2, 2)
    assert row["auc"] == pytest.approx(scores["auc"], rel=1e-5)
    assert table.loc["large", "negatives"] == 0  # said with doubt everywhere
    lines = (out / "mined" / "per_label.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + len(table)
    assert any(line.startswith("| nodule | type | 2 | 2 | 3 |") for line in lines)


def test_the_averages_are_those_of_the_scores(report):
    out, result = report
    table = pd.read_csv(out / "mined" / "averages.csv", index_col="labels")
    scores = result["sources"]["mined"]
    assert table.loc["all labels", "f1"] == pytest.approx(scores["f1"], rel=1e-5)
    assert table.loc["type", "auc"] == pytest.approx(scores["by_class"]["type"]["auc"], rel=1e-5)
    assert table.loc["<= 1 in training", "labels_scored"] == 0


def test_propagation_and_frequency_are_listed(report, trained_lesanet):
    out, result = report
    pairs = pd.read_csv(out / "propagation.csv")
    assert len(pairs) == 60
    assert set(pairs["agrees"].dropna()) <= {"yes", "no"}
    counted = result["propagation"]["by_relation"]
    assert sum(row["pairs"] for row in counted.values()) == 171 * 170
    counts = pd.read_csv(out / "label_frequency.csv", index_col="label")["training_positives"]
    assert counts["large"] == 6  # uncertain labels are learned as positive
    assert (counts["lung"], counts["liver"], counts["abdomen"]) == (2, 3, 3)


def test_the_report_shows_what_there_is(report):
    out, result = report
    text = (out / "report.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (out / link).is_file(), link
    assert "![ROC curves](gold/roc.png)" in text
    assert f"| mined | 5 | {result['sources']['mined']['labels_scored']} |" in text
    assert "\n\n\n\n" not in text


def test_the_gallery_needs_no_network_and_runs_no_foreign_script(report, page):
    text = (report[0] / "gallery.html").read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert not page.all("link")
    assert len(page.all("script")) == 1
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    policies = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policies[0].startswith("default-src 'none'; img-src data:;")
    assert "<script>alert" not in text
    assert UNSAFE in page.texts["blockquote"]


def test_the_gallery_shows_every_lesion_with_its_sentences(page):
    assert len(page.all("article")) == len(page.all("img")) == 6
    shown = page.texts["blockquote"]
    assert shown.count("Sentence 5.") == 1  # by its gold labels
    assert shown.count(UNSAFE) == 6  # once a lesion, though said twice
    assert len(page.all("section", **{"data-source": "mined"})) == 5
    assert len(page.all("section", **{"data-source": "gold"})) == 2


def test_the_gallery_counts_what_the_scores_count(page, report):
    out, _ = report
    for source in ("mined", "gold"):
        table = pd.read_csv(out / source / "per_label.csv")
        hits, found = int(table["hits"].sum()), int(table["predicted"].sum())
        expected = {"tp": hits, "fp": found - hits, "fn": int(table["positives"].sum()) - hits}
        cells = [t.strip().replace(",", "") for t in page.texts["td"] if t.strip()]
        row = cells[: len(SIGNS)] if source == "mined" else cells[len(SIGNS) :]
        assert [int(n) for n in row[:3]] == list(expected.values())


def test_kinds_are_told_apart_by_sign_and_by_word(page):
    kinds = {chip["data-kind"] for chip in page.all("li")}
    assert kinds <= SIGNS.keys()
    assert set(page.texts["i"]) == {SIGNS[kind][0] for kind in kinds}
    words = {text.rstrip(":") for text in page.texts["span"]}
    assert words == {SIGNS[kind][1] for kind in kinds}
    options = {option.get("value") for option in page.all("option")}
    assert {*SIGNS, "mined", "gold"} <= options


def test_labels_above_others_of_their_kind_are_hidden():
    space = LabelSpace.from_index_lists(
        ["lung", "left lung", "nodule", "cyst"],
        ["bodypart", "bodypart", "type", "type"],
        [[], [0], [], []],
        [[], [], [], []],
    )
    source = Source(
        name="mined",
        rows=[4],
        probabilities=torch.tensor([[0.3, 0.9, 0.8, 0.6]]),
        positive=torch.tensor([[True, True, False, False]]),
        known=torch.tensor([[True, True, True, False]]),
        scores=None,
    )
    chips = decided(source, torch.full((4,), 0.5), space)[4]
    assert [(c.kind, c.term, c.finest) for c in chips] == [
        ("tp", "left lung", True),
        ("tp", "lung", False),  # predicted, since what lies below it is
        ("fp", "nodule", True),
        ("open", "cyst", True),
    ]
    source = Source(
        name="mined",
        rows=[4],
        probabilities=torch.tensor([[0.9, 0.1, 0.1, 0.1]]),
        positive=source.positive,
        known=source.known,
        scores=None,
    )
    chips = decided(source, torch.full((4,), 0.5), space)[4]
    assert [(c.kind, c.term, c.finest) for c in chips] == [
        ("tp", "lung", True),  # what lies below it is missed
        ("fn", "left lung", True),
    ]


def test_without_gold_and_training_there_is_less_to_report(
    trained_lesanet, import_phantom, tmp_path
):
    rows = [(0, ["lung"], [], []), (1, ["liver"], [], [])]
    alone = import_phantom(tmp_path / "alone", test=rows)
    out = tmp_path / "report"
    config = ReportConfig(
        model=trained_lesanet.folder, dataset=alone, out=out, labels=("liver",), lesions=1
    )
    result = write_report(config, say=quiet)
    assert result["sources"].keys() == {"mined"}
    assert not (out / "label_frequency.png").exists()
    assert not (out / "mined" / "frequency_subsets.png").exists()
    page = Page((out / "gallery.html").read_text(encoding="utf-8"))
    assert len(page.all("article")) == 1
    assert not page.all("select", name="source")
    assert "1 of 2 lesions" in " ".join(page.texts["p"])
    again = write_report(config, say=quiet)  # replaces its own files
    assert again == result


def test_what_cannot_be_reported_leaves_nothing(trained_lesanet, dataset, tmp_path):
    config = ReportConfig(
        model=trained_lesanet.folder, dataset=dataset, out=tmp_path / "r", labels=("spam",)
    )
    with pytest.raises(InputError, match="There is no label 'spam'"):
        write_report(config, say=quiet)
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("lesion_id,labels\nother,lung\n", encoding="utf-8")
    config = ReportConfig(
        model=trained_lesanet.folder, dataset=dataset, out=tmp_path / "r", gold=foreign
    )
    with pytest.raises(InputError, match="names none of the split's lesions"):
        write_report(config, say=quiet)
    assert not (tmp_path / "r").exists()
    (tmp_path / "file").write_text("", encoding="utf-8")
    config = ReportConfig(
        model=trained_lesanet.folder, dataset=dataset, out=tmp_path / "file" / "r"
    )
    with pytest.raises(InputError, match="Give another --out"):
        write_report(config, say=quiet)
