import pytest
import torch

from nlp.relations.cnn import create
from nlp.relations.corpus import parse_markup
from nlp.relations.encoding import encode
from nlp.relations.features import KINDS, SCOPES
from nlp.relations.network import NetworkModel


@pytest.fixture
def model(passages, ontology):
    torch.manual_seed(0)
    return NetworkModel(create(encode(passages, ontology) * 2), ontology)


def test_labels_and_bookmarks_are_blinded(passages, ontology):
    """What counts is how a sentence speaks of a label, not which label it is."""
    encoded = encode(passages[1:2], ontology)[0]
    assert encoded.items.words == ["no", "<attribute>", "of", "the", "<measurement>", "<type>", "."]
    assert [KINDS[k] for k in encoded.items.kinds][1] == "attribute"
    assert encoded.pairs == [(4, 1), (4, 5)]


def test_the_network_is_what_its_formula_says(model, passages, ontology):
    """Filters split into parts, masks and groups change nothing: one pair at a time, in loops."""
    network, limit = model.network, model.network.config.max_distance
    inputs = network.collate(encode(passages[:1], ontology))
    with torch.no_grad():
        network.to_bookmark.weight.normal_()
        network.to_mention.weight.normal_()
        fast = network(**inputs)
        said = network.word(inputs["words"]) + network.word(inputs["terms"])
        x = torch.cat([said, network.kind(inputs["kinds"]), network.scope(inputs["scopes"])], 2)
        x = x.transpose(1, 2)
        for layer in network.context:
            x = x + torch.relu(layer(x))
        response = torch.cat([c(x) for c in network.convolutions], 1)[0].T
        pairs = encode(passages[:1], ontology)[0].pairs
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
                network.head.feature.weight[inputs["features"][n]].sum(0),
            ]
            hidden.append(torch.relu(network.head.hidden(torch.cat(found))))
        slow = []
        for n, pair in enumerate(pairs):
            rivals = [
                torch.stack(
                    [h for h, other in zip(hidden, pairs, strict=True) if same(other, pair)]
                )
                for same in (lambda a, b: a[0] == b[0], lambda a, b: a[1] == b[1])
            ]
            compared = torch.cat([hidden[n], *(group.amax(0) for group in rivals)])
            slow.append(network.head.output(hidden[n] + torch.relu(network.head.rivals(compared))))
    assert torch.allclose(fast, torch.stack(slow), atol=1e-5)


def test_a_cue_reaches_as_far_as_its_clause(passages, ontology, pipeline):
    def scopes(line):
        encoded = encode([parse_markup(line, pipeline)], ontology)[0]
        return dict(zip(encoded.items.words, (SCOPES[s] for s in encoded.scopes), strict=True))

    found = scopes("No {fat|-} or {cavity=cavitary|-}; {1:9 mm} {mass|1}.")
    assert (found["<attribute>"], found["<type>"]) == ("negation", "none")
    assert scopes("{LUNGS|1}: {1:9 mm} {mass|1}.")["<bodypart>"] == "heading"
    assert scopes("{1:9 mm} {mass|1} near the {liver|-}.")["<bodypart>"] == "landmark"


def test_features_tell_which_bookmark_is_nearest(passages, ontology):
    encoded = encode(passages[:1], ontology)[0]
    gold = [relation.relation == "relevant" for relation in passages[0].relations]
    nearest = [row[4] == encoded.features[0][4] for row in encoded.features]
    assert nearest == gold
