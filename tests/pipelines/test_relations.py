import json

import pytest

from nlp.errors import InputError
from nlp.ontology import Ontology
from nlp.relations import load_model
from pipelines.evaluation import evaluate_relations
from pipelines.relations import TrainRelationsConfig, _training_examples, train_relations

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
    checks = tmp_path / "checks.txt"
    checks.write_text(LINES.replace("9 mm", "3 cm"), encoding="utf-8")
    config = TrainRelationsConfig(
        corpora=(corpus,), out=tmp_path / "model", shipped=False, validation=(checks,), epochs=2
    )
    metrics = train_relations(config, say=said.append)
    assert 0 <= metrics["macro_f1"] <= 1
    written = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert written["macro_f1"] == metrics["macro_f1"]
    assert written["training_sentences"] == 4
    assert len(written["curve"]) == 2
    assert max(f["validation_macro_f1"] for f in written["curve"]) == metrics["macro_f1"]
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "corpus.txt: 4 sentences" in card
    assert f"macro-F1 {metrics['macro_f1']:.3f}" in card
    assert "no radiologist" not in card
    assert "| irrelevant | " + " | ".join(map(str, metrics["confusion"][2])) + " |" in card
    assert (tmp_path / "model" / "learning_curve.png").stat().st_size > 1000
    assert len(said) == 4
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


def test_what_validates_is_never_trained_on(corpus, tmp_path):
    with pytest.raises(InputError, match="nothing to train on"):
        train_relations(
            TrainRelationsConfig(
                corpora=(corpus,), validation=(corpus,), shipped=False, out=tmp_path
            )
        )


def test_corrections_are_added_to_what_ships(corpus, tmp_path):
    shipped = len(_training_examples(TrainRelationsConfig(out=tmp_path), Ontology.from_csv()))
    config = TrainRelationsConfig(out=tmp_path, corpora=(corpus,), weight=3.0)
    examples = _training_examples(config, Ontology.from_csv())
    assert len(examples) == shipped + 4
    assert {w for e in examples[-4:] for w in e.weights} == {3.0}
    assert {w for e in examples[:-4] for w in e.weights} == {1.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "rules"}, "does not learn"),
        ({"shipped": False}, "nothing to train on"),
        ({"model": "transformer"}, "--encoder"),
        ({"sentence_embedding": "nowhere"}, "no sentence embedding"),
    ],
)
def test_what_cannot_be_trained_says_why(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train_relations(TrainRelationsConfig(out=tmp_path / "m", **settings))
    assert not (tmp_path / "m").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_training(corpus, tmp_path):
    said = []
    config = TrainRelationsConfig(corpora=(corpus,), shipped=False, out=corpus / "model")
    with pytest.raises(InputError, match="Give another --out"):
        train_relations(config, say=said.append)
    assert not any(line.startswith("epoch") for line in said)
