import random

import numpy as np
import pytest
import torch

from nlp.errors import InputError
from nlp.records import RELATIONS
from nlp.relations import RELATION_MODELS, load_model, pairs_of
from nlp.relations.cnn import CnnModel, RelationCnn, RelationCnnConfig, collate
from nlp.relations.corpus import parse_markup
from nlp.relations.encoding import FEATURES, KINDS, SCOPES, encode
from nlp.relations.training import (
    TrainConfig,
    augment,
    class_weights,
    fit_temperature,
    join,
    make_examples,
    make_vocabulary,
    train,
)

LINES = [
    "{1:14 mm} {spiculated|1} {nodule|1} in {lingula|1}, and {2:6 mm} {cyst|2} in {liver|2}.",
    "No {calcification|-} of the {1:9 mm} {mass|1}.",
    "A {1:9 mm} {mass|1}, likely a {cyst|1?}.",
    "{Node=lymph node|1} {1:BOOKMARK} near the {spleen|-}.",
    "Seen at {1:9 mm}.",
]


UNCHANGED = dict.fromkeys(("join_rate", "drop_word_rate", "drop_cue_rate", "swap_kind_rate"), 0.0)


@pytest.fixture(scope="module")
def passages(pipeline):
    return [parse_markup(line, pipeline) for line in LINES]


@pytest.fixture
def model(passages, ontology):
    torch.manual_seed(0)
    vocabulary = make_vocabulary(make_examples(passages, ontology), min_count=1)
    return CnnModel(RelationCnn(RelationCnnConfig(vocabulary=vocabulary)), ontology)


def test_labels_and_bookmarks_are_blinded(passages, ontology):
    """What counts is how a sentence speaks of a label, not which label it is."""
    encoded = encode(passages[1], ontology)
    assert encoded.words == ["no", "<attribute>", "of", "the", "<measurement>", "<type>", "."]
    assert [KINDS[k] for k in encoded.kinds][1] == "attribute"
    assert encoded.pairs == [(4, 1), (4, 5)]


@pytest.mark.parametrize("name", RELATION_MODELS)
def test_a_model_gives_each_pair_probabilities(name, passages):
    for passage, rows in zip(passages, load_model(name).predict(passages), strict=True):
        assert rows.shape == (len(pairs_of(passage)), len(RELATIONS))
        assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", RELATION_MODELS)
def test_predictions_do_not_depend_on_the_company(name, passages):
    model = load_model(name)
    together = model.predict(passages)
    alone = [model.predict([p])[0] for p in passages]
    for a, b in zip(together, alone, strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_the_network_is_what_its_formula_says(model, passages, ontology):
    """Filters split into parts, masks and groups change nothing: one pair at a time, in loops."""
    network, limit = model.network, model.network.config.max_distance
    inputs = collate([encode(passages[0], ontology)], model.vocabulary)
    with torch.no_grad():
        network.to_bookmark.weight.normal_()
        network.to_mention.weight.normal_()
        fast = network(**inputs)
        tables = ("word", "kind", "scope")
        x = torch.cat([getattr(network, name)(inputs[f"{name}s"]) for name in tables], 2)
        x = x.transpose(1, 2)
        for layer in network.context:
            x = x + torch.relu(layer(x))
        response = torch.cat([c(x) for c in network.convolutions], 1)[0].T
        pairs = list(zip(inputs["bookmark"].tolist(), inputs["mention"].tolist(), strict=True))
        hidden = []
        for n, (bookmark, mention) in enumerate(pairs):
            seen = [
                torch.relu(
                    row
                    + network.to_bookmark.weight[max(-limit, min(limit, i - bookmark)) + limit]
                    + network.to_mention.weight[max(-limit, min(limit, i - mention)) + limit]
                )
                for i, row in enumerate(response)
            ]
            low, high = sorted((bookmark, mention))
            found = [
                torch.stack(seen).amax(0),
                torch.stack(seen[low : high + 1]).amax(0),
                seen[bookmark],
                seen[mention],
                network.sentence(inputs["words"])[0],
                network.feature.weight[inputs["features"][n]].sum(0),
            ]
            hidden.append(torch.relu(network.hidden(torch.cat(found))))
        slow = []
        for n, pair in enumerate(pairs):
            rivals = [
                torch.stack(
                    [h for h, other in zip(hidden, pairs, strict=True) if same(other, pair)]
                )
                for same in (lambda a, b: a[0] == b[0], lambda a, b: a[1] == b[1])
            ]
            compared = torch.cat([hidden[n], *(group.amax(0) for group in rivals)])
            slow.append(network.output(hidden[n] + torch.relu(network.rivals(compared))))
    assert torch.allclose(fast, torch.stack(slow), atol=1e-5)


def test_a_cue_reaches_as_far_as_its_clause(passages, ontology, pipeline):
    def scopes(line):
        encoded = encode(parse_markup(line, pipeline), ontology)
        return dict(zip(encoded.words, (SCOPES[s] for s in encoded.scopes), strict=True))

    found = scopes("No {fat|-} or {cavity=cavitary|-}; {1:9 mm} {mass|1}.")
    assert (found["<attribute>"], found["<type>"]) == ("negation", "none")
    assert scopes("{LUNGS|1}: {1:9 mm} {mass|1}.")["<bodypart>"] == "heading"
    assert scopes("{1:9 mm} {mass|1} near the {liver|-}.")["<bodypart>"] == "landmark"


def test_features_tell_which_bookmark_is_nearest(passages, ontology):
    encoded = encode(passages[0], ontology)
    assert all(len(row) == len(encoded.features[0]) for row in encoded.features)
    assert all(0 <= value < FEATURES for row in encoded.features for value in row)
    gold = [relation.relation == "relevant" for relation in passages[0].relations]
    nearest = [row[4] - encoded.features[0][4] == 0 for row in encoded.features]
    assert nearest == gold


def test_saving_and_loading_changes_nothing(model, passages, tmp_path):
    model.network.config.calibration_temperature = 1.7
    model.save(tmp_path)
    again = load_model(str(tmp_path))
    assert again.digest == model.digest
    assert CnnModel(RelationCnn.from_pretrained(tmp_path), model.ontology).digest == model.digest
    for a, b in zip(again.predict(passages), model.predict(passages), strict=True):
        assert np.array_equal(a, b)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no relation model"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="no relation model that can be read"):
        load_model(str(tmp_path))


def test_it_overfits_a_few_sentences_and_repeats_itself(passages, ontology):
    examples = make_examples(passages, ontology)
    config = TrainConfig(epochs=80, min_count=1, **UNCHANGED)

    def run():
        return list(train(examples, examples, ontology, config))[-1]

    model, figures = run()
    again, repeated = run()
    assert figures["validation_macro_f1"] == 1.0
    assert repeated == figures
    assert again.digest == model.digest
    assert 0.5 <= fit_temperature(model, examples) <= 4.0


def test_rare_relations_weigh_more_but_not_all_the_way(passages, ontology):
    weights = class_weights(make_examples(passages, ontology))
    relevant, uncertain, _ = weights.tolist()
    assert 1 < uncertain / relevant < 10


def test_joined_sentences_say_nothing_of_each_other(passages, ontology):
    first, second = make_examples(passages, ontology)[1:3]
    both = join(first, second, "and")
    assert both.encoded.words == [*first.encoded.words, "and", *second.encoded.words]
    answers = dict(zip(both.encoded.pairs, both.targets, strict=True))
    shift = len(first.encoded.words) + 1
    for (bookmark, mention), target in zip(first.encoded.pairs, first.targets, strict=True):
        assert answers[bookmark, mention] == target
    for (bookmark, mention), target in zip(second.encoded.pairs, second.targets, strict=True):
        assert answers[bookmark + shift, mention + shift] == target
        assert all(answers[b, mention + shift] == 2 for b, _ in first.encoded.pairs)
    assert len(both.targets) == 2 * len(first.targets) + 2 * len(second.targets)


def test_augmenting_keeps_pairs_and_answers(passages, ontology):
    example, other, *_ = make_examples(passages, ontology)
    config = TrainConfig(join_rate=0, drop_word_rate=1, drop_cue_rate=1, swap_kind_rate=1)
    changed = augment(example, other, config, random.Random(0))
    assert changed.encoded.pairs == example.encoded.pairs
    assert changed.targets == example.targets
    assert set(changed.encoded.words) <= {"<unk>", *(f"<{k}>" for k in KINDS)}
