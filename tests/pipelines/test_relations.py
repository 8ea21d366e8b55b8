import json

import pytest

from nlp.relations import load_model
from pipelines.evaluation import evaluate_relations
from pipelines.relations import train_relations

LINES = """
{1:9 mm} {nodule|1} in the {lingula|1}.
No {calcification|-} of the {1:9 mm} {mass|1}.
A {1:9 mm} {mass|1}, likely a {cyst|1?}.
{Lymph node|1} {1:BOOKMARK} near the {spleen|-}.
"""


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


def test_training_writes_a_model_with_its_figures(corpus, tmp_path):
    said = []
    metrics = train_relations([corpus], tmp_path / "model", epochs=2, say=said.append)
    assert 0 <= metrics["macro_f1"] <= 1
    written = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert written["macro_f1"] == metrics["macro_f1"]
    assert written["training_sentences"] == 4
    assert len(written["curve"]) == 2
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "corpus.txt: 4 sentences" in card
    assert f"{metrics['macro_f1']:.3f}" in card
    assert len(said) == 3
    assert load_model(str(tmp_path / "model")).digest.startswith("cnn-")


def test_the_shipped_model_is_the_one_its_card_describes():
    """Trained again from the shipped sentences, it would score what metrics.json says."""
    from nlp.relations.cnn import SHIPPED
    from pipelines.relations import HELD_OUT

    written = json.loads((SHIPPED / "metrics.json").read_text(encoding="utf-8"))
    scores = evaluate_relations(HELD_OUT, relations="cnn")
    assert scores["macro_f1"] == pytest.approx(
        written["macro_f1"], abs=0.005
    )  # another CPU may turn a close pair
    assert scores["pairs"] == written["pairs"]
