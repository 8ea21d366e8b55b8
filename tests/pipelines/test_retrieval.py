"""Finding similar lesions: whose, how far, what is kept, and the page."""

import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import vision.embeddings
from pipelines.retrieval import retrieve_lesions, score_lesion_retrieval
from vision.data import LesionDataset, sentences_of
from vision.embeddings import digest_of, open_shelves
from vision.errors import InputError
from vision.images import Patch
from vision.labels import LabelSpace
from vision.lesanet import LesaNetConfig, LesaNetModel
from vision.rows import Lesion, new_folder, write_lesions
from vision.run_folder import write_model

NAMES = ("lung", "left lung", "<b>liver</b>", "cyst")
LABELS = (("left lung",), ("lung", "cyst"), ("<b>liver</b>",), ())
SPLITS = ("train", "train", "validation", "test")
SENTENCE = "A lesion <script>alert(1)</script> & more."


@pytest.fixture(scope="module")
def space():
    return LabelSpace.from_index_lists(
        NAMES, ("bodypart",) * 3 + ("type",), [[], [0], [], []], [[], [], [], []]
    )


@pytest.fixture(scope="module")
def made(space, tmp_path_factory):
    """A network that has learned nothing, and 20 lesions, two neighbours of each patient."""
    folder = tmp_path_factory.mktemp("retrieval")
    rng = torch.Generator().manual_seed(3)
    rows = []
    for i in range(20):
        lesion = Lesion(
            lesion_id=f"lesion<{i}>", patient_id=f"p{i // 2}", split=SPLITS[i // 2 % 4],
            image_file="i.png", slice_index=1, box_px=(1, 1, 9, 9), relevant=LABELS[i % 4],
            sentences=(SENTENCE,) * (i % 3),
        )  # fmt: skip
        pixels = 255 * torch.rand(3, 120, 120, generator=rng)
        rows.append((lesion, Patch(pixels=pixels, box_px=(40.0, 40.0, 70.0 + i, 70.0))))
    with new_folder(folder / "lesions") as scratch:
        write_lesions(rows, scratch, space.to_json())
    torch.manual_seed(1)
    model = LesaNetModel(LesaNetConfig.from_labels(space, backbone="resnet10"))
    (folder / "model").mkdir()
    write_model(model, model.state_dict(), folder / "model")
    return folder


@pytest.fixture
def model(made, tmp_path):
    """The network's folder, without embeddings."""
    return shutil.copytree(
        made / "model", tmp_path / "model", ignore=shutil.ignore_patterns("embeddings")
    )


@pytest.fixture
def retrieve(made):
    def retrieve(query="lesion<0>", **options):
        options = {"say": lambda _: None, **options}
        return retrieve_lesions(made / "model", made / "lesions", query, **options)

    return retrieve


@pytest.fixture
def lesions(made):
    """What is known of each lesion: split, patient, embedding, labels with those above them."""
    shelves = open_shelves(made / "model", made / "lesions", say=lambda _: None)
    return {
        lesion: (name, patient, vector.astype(float), {NAMES[i] for i in labels.nonzero()})
        for name, shelf in shelves.items()
        for lesion, patient, vector, labels in zip(
            shelf.lesions.lesion_ids, shelf.lesions.patient_ids, shelf.vectors,
            shelf.lesions.space.expand(shelf.lesions.relevant), strict=True,
        )
    }  # fmt: skip


def nearest(lesions, query, k, splits=("train", "validation", "test")):
    """The nearest lesions of other patients, one distance at a time."""
    _, patient, vector, _ = lesions[query]
    pairs = [
        (float(np.linalg.norm(vector - other)), lesion)
        for lesion, (split, whose, other, _) in lesions.items()
        if whose != patient and split in splits
    ]
    return sorted(pairs)[:k]


@pytest.mark.parametrize("split", [None, "train", "test"])
def test_the_nearest_lesions_of_other_patients_are_found(retrieve, lesions, split):
    for query in ("lesion<0>", "lesion<7>"):
        result = retrieve(query, k=4, split=split)

        splits = (split,) if split else SPLITS
        expected = nearest(lesions, query, 4, splits)
        assert [row["lesion_id"] for row in result["retrieved"]] == [name for _, name in expected]
        distances = [row["distance"] for row in result["retrieved"]]
        assert distances == pytest.approx([distance for distance, _ in expected])
        assert result["query"]["lesion_id"] == query
        assert result["query"]["split"] == lesions[query][0]


def test_labels_of_query_and_found_are_compared_with_ancestors(retrieve, lesions):
    result = retrieve("lesion<0>", k=18)
    own = lesions["lesion<0>"][3]
    assert own == {"lung", "left lung"} == {*result["query"]["labels"]}
    assert len(result["retrieved"]) == 18
    for row in result["retrieved"]:
        labels = lesions[row["lesion_id"]][3]
        assert {*row["labels"]} == labels
        assert {*row["common"]} == own & labels
        assert row["similarity"] == pytest.approx(len(own & labels) ** 2 / len(own | labels))


def test_fewer_are_found_where_there_are_no_more(retrieve):
    assert len(retrieve(k=500)["retrieved"]) == 18


def test_scores_are_means_over_the_labelled_lesions(made, lesions):
    result = score_lesion_retrieval(made / "model", made / "lesions", k=3)

    labelled = {name: row for name, row in lesions.items() if row[3]}
    asking = [name for name, row in labelled.items() if row[0] == "test"]
    gains = [
        len(labelled[query][3] & labelled[found][3])
        for query in asking
        for _, found in nearest(labelled, query, 3, ("train",))
    ]
    assert result["acg"] == pytest.approx(sum(gains) / len(gains))
    assert result["pairs"] == len(gains) == 3 * result["queries"] == 3 * len(asking)
    assert result["searched"] == sum(row[0] == "train" for row in labelled.values())


def test_embeddings_are_computed_once(made, model, monkeypatch):
    said = []
    first = retrieve_lesions(model, made / "lesions", "lesion<0>", say=said.append)
    assert said == ["Computing the embeddings of 20 lesions, once."]

    monkeypatch.setattr(vision.embeddings, "predict", pytest.fail)
    assert retrieve_lesions(model, made / "lesions", "lesion<0>", say=pytest.fail) == first


def test_kept_embeddings_hold_neither_ids_nor_sentences(made, model):
    open_shelves(model, made / "lesions", say=lambda _: None)
    content = (model / "embeddings" / "lesions.safetensors").read_bytes()
    assert b"lesion<" not in content
    assert b"script" not in content


def other_weights(model, dataset):
    network = LesaNetModel.from_pretrained(model)
    torch.nn.init.normal_(next(network.parameters()))
    write_model(network, network.state_dict(), model)


def other_shard(model, dataset):
    shard = next((dataset / "data").glob("test-*"))
    os.utime(shard, ns=(1, 1))


def damage(model, dataset):
    path = model / "embeddings" / "lesions.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("change", [other_weights, other_shard, damage])
def test_embeddings_of_another_model_or_dataset_are_not_taken(made, model, tmp_path, change):
    dataset = shutil.copytree(made / "lesions", tmp_path / "lesions")
    before = digest_of(model, dataset)
    open_shelves(model, dataset, say=lambda _: None)
    assert digest_of(model, dataset) == before

    change(model, dataset)
    said = []
    again = open_shelves(model, dataset, say=said.append)

    assert said == ["Computing the embeddings of 20 lesions, once."]
    shutil.rmtree(model / "embeddings")
    fresh = open_shelves(model, dataset, say=lambda _: None)
    assert all((again[split].vectors == fresh[split].vectors).all() for split in fresh)


def test_a_folder_that_takes_no_embeddings_is_no_hindrance(made, model):
    (model / "embeddings").write_text("in the way", encoding="utf-8")
    said = []
    assert retrieve_lesions(model, made / "lesions", "lesion<0>", say=said.append)["retrieved"]
    assert "Can't keep the embeddings" in said[-1]


class Reader(HTMLParser):
    """Collect the tags and the texts of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.pictures = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_data(self, data):
        self.texts.append(data.strip())


def read(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href|url\()\s*=?\s*["']?\s*(https?:)?//""", text)
    assert "default-src 'none'" in text
    reader = Reader()
    reader.feed(text)
    return reader


def test_the_page_shows_patches_labels_and_sentences(retrieve, made, tmp_path):
    result = retrieve("lesion<1>", k=3, page=tmp_path / "similar.html")

    page = read(tmp_path / "similar.html")
    assert len(page.pictures) == 4
    assert all(p["src"].startswith("data:image/png;base64,iVBOR") for p in page.pictures)
    assert len({p["src"] for p in page.pictures}) == 4
    assert "script" not in page.tags
    assert "b" not in page.tags  # neither figures, which a single query has not, nor label names
    for lesion in [result["query"], *result["retrieved"]]:
        assert f"{lesion['lesion_id']}, {lesion['split']}" in page.texts
    for place, lesion in enumerate(result["retrieved"], start=1):
        assert f"{place}. distance {lesion['distance']:.3f}" in page.texts
        assert all(f"= {label}" in page.texts for label in lesion["common"])
    assert SENTENCE in page.texts  # of lesion<1>


def test_the_page_shows_the_finest_labels_and_what_is_in_common(retrieve, tmp_path):
    retrieve("lesion<4>", k=18, page=tmp_path / "similar.html")  # a left lung, which is a lung
    texts = read(tmp_path / "similar.html").texts
    first = next(i for i, text in enumerate(texts) if text.startswith("1. distance"))
    query, found = texts[:first], texts[first:]
    assert "left lung" in query
    assert "lung" not in query
    assert found.count("= lung") > found.count("= left lung") > 0
    assert not {"lung", "left lung"} & {*found}
    assert {"cyst", "<b>liver</b>"} < {*found}


def test_the_page_of_a_split_has_figures_and_some_queries(made, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.retrieval.MAX_QUERIES", 2)
    page = tmp_path / "similar.html"
    result = score_lesion_retrieval(made / "model", made / "lesions", k=2, page=page)
    reader = read(page)
    assert f"{result['acg']:.2f}" in reader.texts
    assert "common labels (ACG@2)" in reader.texts
    assert reader.texts.count("Query") == 2
    assert len(reader.pictures) == 6


def test_what_can_not_be_done_is_said(made, model, retrieve, tmp_path):
    with pytest.raises(InputError, match="has no lesion 'x'"):
        retrieve("x")
    with pytest.raises(InputError, match="no lesions in the split 'dev', only in train"):
        retrieve(split="dev")
    with pytest.raises(InputError, match="Give another --page"):
        retrieve(page=tmp_path / "nowhere" / "p.html")
    with pytest.raises(InputError, match="no lesions in the split 'dev'"):
        score_lesion_retrieval(made / "model", made / "lesions", queries="dev")
    with pytest.raises(InputError, match="holds no LesaNet model"):
        retrieve_lesions(tmp_path, made / "lesions", "lesion<0>")
    with pytest.raises(InputError, match="is no dataset of ours"):
        retrieve_lesions(model, tmp_path, "lesion<0>")


def test_a_dataset_with_other_labels_is_refused(model, lesion_dataset):
    with pytest.raises(InputError, match="has other labels than the model"):
        retrieve_lesions(model, lesion_dataset, "x", say=lambda _: None)


def test_patches_and_sentences_are_those_of_the_rows(made):
    data = LesionDataset(made / "lesions", "train")
    normalised = data[3]["pixel_values"]
    assert torch.equal((data.patch(3) - 50) / 255, normalised)
    said = sentences_of(made / "lesions", "train")
    numbers = [int(re.sub(r"\D", "", lesion)) for lesion in data.lesion_ids]
    assert [len(sentences) for sentences in said] == [number % 3 for number in numbers]
    with pytest.raises(InputError, match="'dev'"):
        sentences_of(made / "lesions", "dev")
