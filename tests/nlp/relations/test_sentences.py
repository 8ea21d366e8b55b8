import shutil
import sys

import numpy as np
import pytest
import torch

from nlp.errors import InputError
from nlp.relations.cnn import create, load
from nlp.relations.encoding import encode
from nlp.relations.sentences import (
    CachedEmbedder,
    EncoderEmbedder,
    TfidfEmbedder,
    load_embedder,
)

TEXTS = [
    "A nodule in the left upper lobe.",
    "No nodule in the left upper lobe.",
    "A mass is in the liver.",
    "Is there a mass in the liver?",
    "The spleen is not enlarged.",
]


def test_like_sentences_lie_near():
    vectors = TfidfEmbedder.fit(TEXTS, size=3).embed(TEXTS)
    assert vectors.shape == (5, 3)
    assert np.allclose(np.linalg.norm(vectors[:4], axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_unknown_words_are_zero():
    assert not TfidfEmbedder.fit(TEXTS, size=3).embed(["Quux 12."]).any()


def test_saving_a_tfidf_changes_nothing(tmp_path):
    embedder = TfidfEmbedder.fit(TEXTS, size=3)
    embedder.save(tmp_path)
    assert np.array_equal(TfidfEmbedder.load(tmp_path).embed(TEXTS), embedder.embed(TEXTS))


def test_an_encoder_takes_the_mean_of_its_tokens(encoder):
    embedder = EncoderEmbedder(encoder)
    together = embedder.embed(TEXTS)
    tokens = embedder.tokenizer(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        mean = embedder.encoder(**tokens).last_hidden_state[0].mean(dim=0)
    assert np.allclose(together[0], (mean / mean.norm()).numpy(), atol=1e-5)


def test_a_sentence_is_embedded_once():
    class Counting:
        size = 1

        def __init__(self):
            self.asked = []

        def embed(self, texts):
            self.asked += texts
            return np.array([[len(t)] for t in texts], dtype=np.float32)

    counting = Counting()
    cached = CachedEmbedder(counting, most=2)
    assert cached.embed(["a", "bb", "a"]).tolist() == [[1], [2], [1]]
    assert cached.embed(["bb"]).tolist() == [[2]]
    assert counting.asked == ["a", "bb"]
    assert cached.embed(["ccc", "a"]).tolist() == [[3], [1]]
    assert len(cached._known) == 2


@pytest.mark.parametrize("name", ["nowhere", "file.txt", "empty"])
def test_what_is_no_embedding_is_refused(name, tmp_path):
    (tmp_path / "file.txt").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no sentence (embedding|encoder)"):
        load_embedder(tmp_path / name)


def test_sent2vec_is_asked_for_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sent2vec", None)
    (tmp_path / "bio.bin").touch()
    with pytest.raises(InputError, match="pip install sent2vec"):
        load_embedder(tmp_path / "bio.bin")


def test_sent2vec_gets_words_in_lower_case(tmp_path, monkeypatch):
    class Model:
        def load_model(self, path, inference_mode):
            assert path.endswith("bio.bin")

        def get_emb_size(self):
            return 2

        def embed_sentences(self, texts):
            assert texts == ["no nodule , 3 mm ."]
            return np.ones((1, 2))

    module = type(sys)("sent2vec")
    module.Sent2vecModel = Model
    monkeypatch.setitem(sys.modules, "sent2vec", module)
    (tmp_path / "bio.bin").touch()
    embedder = load_embedder(tmp_path / "bio.bin")
    assert embedder.embed(["No nodule, 3 mm."]).dtype == np.float32
    assert embedder.size == 2


@pytest.mark.parametrize("source", ["tfidf", "encoder"])
def test_a_network_keeps_its_sentence_embedding(source, passages, ontology, encoder, tmp_path):
    torch.manual_seed(0)
    encoded = encode(passages, ontology) * 2
    name = "tfidf" if source == "tfidf" else str(encoder)
    network = create(encoded, sentence_embedding=name)
    network.train(False)
    network.save(tmp_path)
    again = load(tmp_path).network
    inputs = network.collate(encoded[:3])
    assert inputs["vectors"].shape == (3, network.config.vector_size)
    with torch.inference_mode():
        assert torch.equal(network(**inputs), again(**again.collate(encoded[:3])))
        inputs["vectors"] = inputs["vectors"] + 1
        assert not torch.equal(network(**inputs), again(**again.collate(encoded[:3])))


def test_a_model_whose_embedding_has_gone_says_so(passages, ontology, encoder, tmp_path):
    copy = tmp_path / "encoder"
    shutil.copytree(encoder, copy)
    network = create(encode(passages, ontology), sentence_embedding=str(copy))
    network.save(tmp_path)
    shutil.rmtree(copy)
    with pytest.raises(InputError, match="no sentence embedding"):
        load(tmp_path)
