"""What holds for every relation model that learns."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlp.errors import InputError
from nlp.records import RELATIONS
from nlp.relations import (
    RELATION_MODELS,
    SHIPPED_MODELS,
    classify_relations,
    decide,
    load_model,
    model_module,
    pairs_of,
)
from nlp.relations.encoding import encode
from nlp.relations.features import KINDS
from nlp.relations.network import NetworkModel, precision_curve
from nlp.relations.training import (
    TrainConfig,
    augment,
    class_weights,
    fit_temperature,
    join,
    make_examples,
    predict_logits,
    train,
    weighted_loss,
)

LEARNING = [name for name in RELATION_MODELS if name != "rules"]
CHANGES = ("join_rate", "drop_word_rate", "drop_cue_rate", "drop_term_rate", "swap_kind_rate")
UNCHANGED = dict.fromkeys(CHANGES, 0.0)


@pytest.fixture(params=LEARNING)
def network(request, passages, ontology, encoder):
    torch.manual_seed(0)
    encoded = encode(passages, ontology) * 2
    return model_module(request.param).create(encoded, encoder=encoder)


@pytest.fixture
def models(network, ontology):
    return [NetworkModel(network, ontology), *(load_model(name) for name in SHIPPED_MODELS)]


def test_a_model_gives_each_pair_probabilities(models, passages):
    for model in models:
        for passage, rows in zip(passages, model.predict(passages), strict=True):
            assert rows.shape == (len(pairs_of(passage)), len(RELATIONS))
            assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_predictions_do_not_depend_on_the_company(models, passages):
    for model in models:
        together = model.predict(passages)
        alone = [model.predict([p])[0] for p in passages]
        for a, b in zip(together, alone, strict=True):
            assert np.allclose(a, b, atol=1e-5)


def test_saving_and_loading_changes_nothing(network, ontology, passages, tmp_path):
    network.config.calibration_temperature = 1.7
    model = NetworkModel(network, ontology)
    network.save(tmp_path)
    again = load_model(str(tmp_path))
    assert again.digest == model.digest
    for a, b in zip(again.predict(passages), model.predict(passages), strict=True):
        assert np.array_equal(a, b)


def test_transformers_reads_the_folder_too(network, ontology, tmp_path):
    network.save(tmp_path)
    again = type(network).from_pretrained(tmp_path)
    assert NetworkModel(again, ontology).digest == NetworkModel(network, ontology).digest


def test_the_digest_tells_models_apart(network, ontology):
    before = NetworkModel(network, ontology).digest
    with torch.no_grad():
        network.head.output.bias[0] += 1
    assert NetworkModel(network, ontology).digest != before


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no relation model"):
        load_model(str(tmp_path))
    for broken in ("{}", "[]", "{", '{"model_type": "bert"}'):
        (tmp_path / "config.json").write_text(broken, encoding="utf-8")
        with pytest.raises(InputError, match="There is no relation model"):
            load_model(str(tmp_path))
    settings = '{"model_type": "lesionary-relation-cnn"}'
    (tmp_path / "config.json").write_text(settings, encoding="utf-8")
    with pytest.raises(InputError, match="no relation model that can be read"):
        load_model(str(tmp_path))


def test_a_transformer_needs_an_encoder(tmp_path):
    create = model_module("transformer").create
    with pytest.raises(InputError, match="--encoder"):
        create([])
    with pytest.raises(InputError, match="no encoder that transformers can read"):
        create([], encoder=tmp_path)


@pytest.mark.parametrize("name", ["cnn", "cnn-attention"])
def test_it_overfits_a_few_sentences_and_repeats_itself(name, passages, ontology):
    examples = make_examples(passages, ontology)
    config = TrainConfig(epochs=80, **UNCHANGED)

    def run():
        torch.manual_seed(0)
        network = model_module(name).create([e.encoded for e in examples] * 2)
        return network, train(network, examples, examples, ontology, config)

    network, curve = run()
    again, repeated = run()
    assert max(f["validation_macro_f1"] for f in curve) == 1.0
    assert repeated == curve
    assert NetworkModel(again, ontology).digest == NetworkModel(network, ontology).digest
    logits, targets = predict_logits(network, examples)
    assert (logits.argmax(dim=1) == targets).all()


def test_a_transformer_learns(passages, ontology, encoder):
    examples = make_examples(passages, ontology)
    torch.manual_seed(0)
    network = model_module("transformer").create([], encoder=encoder)
    before = network.encoder.embeddings.word_embeddings.weight.clone()
    config = TrainConfig(epochs=30, encoder_learning_rate=1e-3, **UNCHANGED)
    curve = train(network, examples, examples, ontology, config)
    assert curve[-1]["loss"] < curve[0]["loss"] / 2
    assert not torch.equal(before, network.encoder.embeddings.word_embeddings.weight)


def test_a_sentence_longer_than_the_encoder_reads_is_cut(passages, ontology, encoder):
    network = model_module("transformer").create([], encoder=encoder)
    network.config.max_tokens = 12
    rows = NetworkModel(network, ontology).predict(passages)[0]
    assert rows.shape == (10, 3)


def test_rare_relations_weigh_more_but_not_all_the_way(passages, ontology):
    weights = class_weights(make_examples(passages, ontology))
    relevant, uncertain, _ = weights.tolist()
    assert 1 < uncertain / relevant < 10


@given(st.integers(0, 99))
def test_the_loss_is_a_mean_in_which_pairs_count_differently(seed):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 3, generator=rng, dtype=torch.float64)
    targets = torch.randint(0, 3, (5,), generator=rng)
    weights = 0.1 + torch.rand(5, generator=rng, dtype=torch.float64)
    of_class = 0.1 + torch.rand(3, generator=rng, dtype=torch.float64)
    above = below = 0.0
    for row, y, w in zip(logits.tolist(), targets.tolist(), weights.tolist(), strict=True):
        share = math.exp(row[y]) / sum(map(math.exp, row))
        above -= w * of_class[y].item() * math.log(share)
        below += w * of_class[y].item()
    loss = weighted_loss(logits, targets, weights, of_class)
    assert loss.item() == pytest.approx(above / below, rel=1e-9)


@given(st.integers(0, 99))
def test_a_weight_is_worth_so_many_copies(seed):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    targets = torch.randint(0, 3, (4,), generator=rng)
    copies = torch.tensor([3, 1, 1, 2])
    even, of_class = torch.ones(7, dtype=torch.float64), torch.tensor([0.5, 2.0, 1.0]).double()
    repeated = (t.repeat_interleave(copies, dim=0) for t in (logits, targets))
    weighted = weighted_loss(logits, targets, copies.double(), of_class, smoothing=0.05)
    assert torch.allclose(weighted, weighted_loss(*repeated, even, of_class, smoothing=0.05))


def test_joined_sentences_say_nothing_of_each_other(passages, ontology):
    first, second = make_examples(passages, ontology)[1:3]
    both = join(first, second, "and", ontology)
    front = first.encoded.items.words[:-1]  # the full stop goes
    assert both.encoded.items.words == [*front, "and", *second.encoded.items.words]
    answers = dict(zip(both.encoded.pairs, both.targets, strict=True))
    shift = len(front) + 1
    for (bookmark, mention), target in zip(first.encoded.pairs, first.targets, strict=True):
        assert answers[bookmark, mention] == target
    for (bookmark, mention), target in zip(second.encoded.pairs, second.targets, strict=True):
        assert answers[bookmark + shift, mention + shift] == target
        assert all(answers[b, mention + shift] == 2 for b, _ in first.encoded.pairs)
    assert len(both.targets) == 2 * len(first.targets) + 2 * len(second.targets)


def test_augmenting_keeps_pairs_and_answers(passages, ontology):
    example, other, *_ = make_examples(passages, ontology)
    config = TrainConfig(
        join_rate=0, drop_word_rate=1, drop_cue_rate=1, drop_term_rate=1, swap_kind_rate=1
    )
    changed = augment(example, other, config, ontology, random.Random(0))
    assert not any(changed.encoded.items.terms)
    assert changed.encoded.pairs == example.encoded.pairs
    assert changed.targets == example.targets
    assert set(changed.encoded.items.words) <= {"<unk>", *(f"<{k}>" for k in KINDS)}


@given(scale=st.floats(0.6, 3.5), seed=st.integers(0, 99))
def test_the_temperature_undoes_a_scale(scale, seed):
    """Logits that are right when divided by a number get that number, to the grid's step."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(4000, 3, generator=rng)
    targets = torch.multinomial(logits.softmax(dim=1), 1, generator=rng).squeeze(1)
    assert fit_temperature(scale * logits, targets) == pytest.approx(scale, rel=0.2)


def test_precision_may_be_demanded(network, ontology, passages):
    network.config.precision_curve = [[0.4, 0.8], [0.6, 0.96], [0.7, 0.94], [0.9, 0.99]]
    model = NetworkModel(network, ontology)
    plain = model.digest
    model.demand(0.95)
    assert model.relevant_at_least == 0.9
    assert model.digest != plain
    for passage in classify_relations(passages, model):
        for relation in passage.relations:
            assert relation.relation != "relevant" or relation.probabilities[0] >= 0.9
    with pytest.raises(InputError, match=r"reaches a precision of 0\.990"):
        model.demand(0.999)


def test_rules_have_no_precision_to_demand():
    with pytest.raises(InputError, match="no probabilities"):
        load_model("rules", precision=0.9)


def test_an_unsure_relevant_pair_becomes_uncertain():
    rows = np.array([[0.9, 0.05, 0.05], [0.5, 0.1, 0.4], [0.2, 0.1, 0.7]], dtype=np.float32)
    assert decide(rows) == [0, 0, 2]
    assert decide(rows, 0.6) == [0, 1, 2]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_the_precision_curve_is_the_precision(pairs):
    probabilities = [p for p, _ in pairs]
    relevant = [r for _, r in pairs]
    for threshold, precision in precision_curve(probabilities, relevant):
        kept = [r for p, r in pairs if p >= threshold]
        assert len(kept) >= 50
        assert precision == pytest.approx(sum(kept) / len(kept), abs=1e-4)
