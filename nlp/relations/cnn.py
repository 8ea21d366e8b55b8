"""The paper's relation classifier: a convolutional network on the word sequence.

After Yan et al. 2019 (section 3.2) and Peng et al. 2017 (arXiv:1706.01556): a word is its
embedding, its entity type and its distances to the bookmark and to the mention; filters of widths
3 and 5; max pooling; beside it the embedding of the whole sentence; softmax over relevant,
uncertain and irrelevant.

The filters are linear in their input, so their response is the sum of a part that depends on the
words alone and of one for each distance. The first is computed once a sentence, the others are
looked up, and the cost grows with tokens plus pairs instead of tokens times pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from nlp.errors import InputError
from nlp.ontology import Ontology
from nlp.records import RELATIONS, Passage
from nlp.relations import Probabilities
from nlp.relations.encoding import FEATURES, KINDS, SCOPES, Encoded, encode, word_ids

SHIPPED: Final = Path(__file__).parent / "weights" / "cnn"
WEIGHTS: Final = "model.safetensors"
_PAIRS_AT_A_TIME: Final = 128  # more would not fit into a core's cache
_NO_PAIRS: Final = np.zeros((0, len(RELATIONS)), dtype=np.float32)


class RelationCnnConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes, vocabulary and temperature of a `RelationCnn`."""

    model_type = "lesionary-relation-cnn"

    def __init__(
        self,
        vocabulary: Sequence[str] = ("<pad>", "<unk>"),
        word_size: int = 64,
        kind_size: int = 16,
        scope_size: int = 8,
        filters: int = 48,
        widths: Sequence[int] = (3, 5),
        context_layers: int = 2,
        sentence_size: int = 32,
        feature_size: int = 48,
        hidden_size: int = 96,
        max_distance: int = 20,
        dropout: float = 0.4,
        calibration_temperature: float = 1.0,
        **rest: Any,
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.word_size = word_size
        self.kind_size = kind_size
        self.scope_size = scope_size
        self.filters = filters
        self.widths = list(widths)
        self.context_layers = context_layers
        self.sentence_size = sentence_size
        self.feature_size = feature_size
        self.hidden_size = hidden_size
        self.max_distance = max_distance
        self.dropout = dropout
        self.calibration_temperature = calibration_temperature
        super().__init__(**rest)


class RelationCnn(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The network.

    Shape:
        - words, kinds, scopes: (sentences, items), padded with 0.
        - sentence, bookmark, mention: (pairs,), the sentence of each pair and its two items.
        - features: (pairs, features), see `nlp.relations.encoding`.
        - output: (pairs, 3), logits in the order of `RELATIONS`.
    """

    config_class = RelationCnnConfig

    def __init__(self, config: RelationCnnConfig) -> None:
        super().__init__(config)
        responses = config.filters * len(config.widths)
        distances = 2 * config.max_distance + 1
        channels = config.word_size + config.kind_size + config.scope_size
        self.word = nn.Embedding(len(config.vocabulary), config.word_size, padding_idx=0)
        self.kind = nn.Embedding(len(KINDS), config.kind_size)
        self.scope = nn.Embedding(len(SCOPES), config.scope_size)
        self.context = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, padding=2**i, dilation=2**i)
            for i in range(config.context_layers)
        )
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, config.filters, w, padding=w // 2) for w in config.widths
        )
        self.to_bookmark = nn.Embedding(distances, responses)
        self.to_mention = nn.Embedding(distances, responses)
        self.sentence = nn.EmbeddingBag(
            len(config.vocabulary), config.sentence_size, mode="mean", padding_idx=0
        )
        self.feature = nn.EmbeddingBag(FEATURES, config.feature_size, mode="sum")
        self.dropout = nn.Dropout(config.dropout)
        seen = 4 * responses + config.sentence_size + config.feature_size
        self.hidden = nn.Linear(seen, config.hidden_size)
        self.rivals = nn.Linear(3 * config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, len(RELATIONS))
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Small embeddings; PyTorch's defaults elsewhere."""
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            nn.init.normal_(module.weight, std=0.1)

    def forward(
        self,
        words: Tensor,
        kinds: Tensor,
        scopes: Tensor,
        sentence: Tensor,
        bookmark: Tensor,
        mention: Tensor,
        features: Tensor,
    ) -> Tensor:
        response = self._responses(words, kinds, scopes)
        place = torch.arange(words.shape[1], device=words.device)
        seen = response[sentence]
        seen = seen + self.to_bookmark(self._distance(place, bookmark))
        seen = torch.relu(seen + self.to_mention(self._distance(place, mention)))
        present = (words > 0)[sentence]
        first, last = torch.minimum(bookmark, mention), torch.maximum(bookmark, mention)
        between = present & (place >= first[:, None]) & (place <= last[:, None])
        pair = torch.arange(len(sentence), device=words.device)
        found = torch.cat(
            [
                _max_over(seen, present),
                _max_over(seen, between),
                seen[pair, bookmark],
                seen[pair, mention],
                self.sentence(words)[sentence],
                self.feature(features),
            ],
            dim=1,
        )
        hidden = torch.relu(self.hidden(self.dropout(found)))
        width = words.shape[1]
        hidden = hidden + self._compare(
            hidden, sentence * width + bookmark, sentence * width + mention
        )
        logits: Tensor = self.output(self.dropout(hidden))
        return logits

    def _responses(self, words: Tensor, kinds: Tensor, scopes: Tensor) -> Tensor:
        """What the filters see at each item; (sentences, items, responses)."""
        # Padding is zero throughout, so that a sentence's company in a batch changes nothing.
        present = (words > 0).unsqueeze(1)
        embedded = torch.cat([self.word(words), self.kind(kinds), self.scope(scopes)], dim=2)
        channels = self.dropout(embedded.transpose(1, 2)) * present
        for layer in self.context:
            channels = (channels + self.dropout(torch.relu(layer(channels)))) * present
        return torch.cat([conv(channels) for conv in self.convolutions], dim=1).transpose(1, 2)

    def _compare(self, hidden: Tensor, bookmark: Tensor, mention: Tensor) -> Tensor:
        """A pair beside the strongest of its bookmark's and of its mention's pairs."""
        rivals = torch.cat([hidden, _max_of(hidden, bookmark), _max_of(hidden, mention)], dim=1)
        return torch.relu(self.rivals(self.dropout(rivals)))

    def _distance(self, place: Tensor, item: Tensor) -> Tensor:
        limit: int = self.config.max_distance
        return (place[None, :] - item[:, None]).clamp(-limit, limit) + limit


def _max_over(values: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each channel where the mask holds; values are not negative."""
    return (values * mask.unsqueeze(2)).amax(dim=1)


def _max_of(hidden: Tensor, group: Tensor) -> Tensor:
    """For each pair the largest values among the pairs of its group; values are not negative."""
    place = torch.unique(group, return_inverse=True)[1]
    most = hidden.new_zeros(int(place.max()) + 1, hidden.shape[1])
    index = place.unsqueeze(1).expand_as(hidden)
    return most.scatter_reduce(0, index, hidden, "amax")[place]


def collate(encoded: Sequence[Encoded], vocabulary: dict[str, int]) -> dict[str, Tensor]:
    """Pad sentences and list their pairs: the inputs of `RelationCnn`."""
    length = max(len(e.words) for e in encoded)
    pairs = [(row, *pair) for row, e in enumerate(encoded) for pair in e.pairs]
    sentence, bookmark, mention = torch.tensor(pairs).unbind(1)
    return {
        "words": _padded([word_ids(e.words, vocabulary) for e in encoded], length),
        "kinds": _padded([e.kinds for e in encoded], length),
        "scopes": _padded([e.scopes for e in encoded], length),
        "sentence": sentence,
        "bookmark": bookmark,
        "mention": mention,
        "features": torch.tensor([row for e in encoded for row in e.features]),
    }


def _padded(rows: list[list[int]], length: int) -> Tensor:
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


def _by_length(encoded: Sequence[Encoded]) -> Iterator[list[int]]:
    """Group the sentences with pairs by length, as places: little padding, small arrays."""
    group: list[int] = []
    pairs = 0
    for i in sorted(range(len(encoded)), key=lambda i: len(encoded[i].words)):
        if not encoded[i].pairs:
            continue
        group.append(i)
        pairs += len(encoded[i].pairs)
        if pairs >= _PAIRS_AT_A_TIME:
            yield group
            group, pairs = [], 0
    if group:
        yield group


class CnnModel:
    """A trained network as a relation model."""

    def __init__(self, network: RelationCnn, ontology: Ontology) -> None:
        self.network = network
        network.train(False)
        self.ontology = ontology
        self.vocabulary = {word: i for i, word in enumerate(network.config.vocabulary)}

    @cached_property
    def digest(self) -> str:
        """Changes with any weight or the vocabulary."""
        hasher = hashlib.sha256(repr(self.network.config.vocabulary).encode())
        hasher.update(repr(self.network.config.calibration_temperature).encode())
        for name, weight in sorted(self.network.state_dict().items()):
            hasher.update(name.encode() + weight.numpy().tobytes())
        return "cnn-" + hasher.hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Write a folder that `load` and `RelationCnn.from_pretrained` read."""
        self.network.config.save_pretrained(folder)
        save_file(self.network.state_dict(), folder / WEIGHTS, metadata={"format": "pt"})

    @torch.inference_mode()
    def predict(self, passages: Sequence[Passage]) -> list[Probabilities]:
        """Probabilities of every pair of each passage; see `nlp.relations`."""
        encoded = [encode(p, self.ontology) for p in passages]
        predicted = [_NO_PAIRS] * len(encoded)
        for group in _by_length(encoded):
            for place, rows in zip(group, self._predict([encoded[i] for i in group]), strict=True):
                predicted[place] = rows
        return predicted

    def _predict(self, group: Sequence[Encoded]) -> list[Probabilities]:
        counts = [len(e.pairs) for e in group]
        logits = (
            self.network(**collate(group, self.vocabulary))
            / self.network.config.calibration_temperature
        )
        probabilities = logits.softmax(dim=1).numpy()
        return np.split(probabilities, np.cumsum(counts)[:-1])


def load(folder: Path | None) -> CnnModel:
    """Load a trained network; without a folder, the one that ships.

    Raises:
        InputError: If the folder holds no such network.
    """
    folder = folder or SHIPPED
    try:
        network = RelationCnn(RelationCnnConfig.from_pretrained(folder, local_files_only=True))
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{folder} holds no relation model that can be read. Train one with "
            "'lesionary relations train', or choose --relations rules."
        ) from error
    return CnnModel(network, Ontology.from_csv())
