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
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from nlp.errors import InputError
from nlp.ontology import Ontology
from nlp.records import RELATIONS, Passage
from nlp.relations import Probabilities
from nlp.relations.encoding import KINDS, Encoded, encode, word_ids

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
        filters: int = 64,
        widths: Sequence[int] = (3, 5),
        sentence_size: int = 64,
        hidden_size: int = 96,
        max_distance: int = 20,
        dropout: float = 0.4,
        calibration_temperature: float = 1.0,
        **rest: Any,
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.word_size = word_size
        self.kind_size = kind_size
        self.filters = filters
        self.widths = list(widths)
        self.sentence_size = sentence_size
        self.hidden_size = hidden_size
        self.max_distance = max_distance
        self.dropout = dropout
        self.calibration_temperature = calibration_temperature
        super().__init__(**rest)


class RelationCnn(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The network.

    Shape:
        - words, kinds: (sentences, items), padded with 0.
        - sentence, bookmark, mention: (pairs,), the sentence of each pair and its two items.
        - output: (pairs, 3), logits in the order of `RELATIONS`.
    """

    config_class = RelationCnnConfig

    def __init__(self, config: RelationCnnConfig) -> None:
        super().__init__(config)
        responses = config.filters * len(config.widths)
        distances = 2 * config.max_distance + 1
        self.word = nn.Embedding(len(config.vocabulary), config.word_size, padding_idx=0)
        self.kind = nn.Embedding(len(KINDS), config.kind_size)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.word_size + config.kind_size, config.filters, w, padding=w // 2)
            for w in config.widths
        )
        self.to_bookmark = nn.Embedding(distances, responses)
        self.to_mention = nn.Embedding(distances, responses)
        self.sentence = nn.EmbeddingBag(
            len(config.vocabulary), config.sentence_size, mode="mean", padding_idx=0
        )
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(4 * responses + config.sentence_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, len(RELATIONS))
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Small embeddings; PyTorch's defaults elsewhere."""
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            nn.init.normal_(module.weight, std=0.1)

    def forward(
        self, words: Tensor, kinds: Tensor, sentence: Tensor, bookmark: Tensor, mention: Tensor
    ) -> Tensor:
        # Padding is zero throughout, so that a sentence's company in a batch changes nothing.
        embedded = torch.cat([self.word(words), self.kind(kinds)], dim=2) * (words > 0).unsqueeze(2)
        channels = self.dropout(embedded).transpose(1, 2)
        response = torch.cat([conv(channels) for conv in self.convolutions], dim=1).transpose(1, 2)
        place = torch.arange(words.shape[1], device=words.device)
        seen = response[sentence]
        seen = seen + self.to_bookmark(self._distance(place, bookmark))
        seen = torch.relu(seen + self.to_mention(self._distance(place, mention)))
        present = (words > 0)[sentence]
        first, last = torch.minimum(bookmark, mention), torch.maximum(bookmark, mention)
        between = present & (place >= first[:, None]) & (place <= last[:, None])
        pair = torch.arange(len(sentence), device=words.device)
        features = torch.cat(
            [
                _max_over(seen, present),
                _max_over(seen, between),
                seen[pair, bookmark],
                seen[pair, mention],
                self.sentence(words)[sentence],
            ],
            dim=1,
        )
        hidden = torch.relu(self.hidden(self.dropout(features)))
        logits: Tensor = self.output(self.dropout(hidden))
        return logits

    def _distance(self, place: Tensor, item: Tensor) -> Tensor:
        limit: int = self.config.max_distance
        return (place[None, :] - item[:, None]).clamp(-limit, limit) + limit


def _max_over(values: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each channel where the mask holds; values are not negative."""
    return (values * mask.unsqueeze(2)).amax(dim=1)


def collate(encoded: Sequence[Encoded], vocabulary: dict[str, int]) -> dict[str, Tensor]:
    """Pad sentences and list their pairs: the inputs of `RelationCnn`."""
    length = max((len(e.words) for e in encoded), default=1)
    words = torch.zeros(len(encoded), max(length, 1), dtype=torch.long)
    kinds = torch.zeros_like(words)
    pairs = []
    for row, item in enumerate(encoded):
        words[row, : len(item.words)] = torch.tensor(word_ids(item.words, vocabulary))
        kinds[row, : len(item.kinds)] = torch.tensor(item.kinds)
        pairs += [(row, bookmark, mention) for bookmark, mention in item.pairs]
    columns = torch.tensor(pairs, dtype=torch.long).reshape(-1, 3).unbind(1)
    return {
        "words": words,
        "kinds": kinds,
        **dict(zip(("sentence", "bookmark", "mention"), columns, strict=True)),
    }


def _by_length(encoded: Sequence[Encoded]) -> Iterator[list[int]]:
    """Places of the sentences with pairs, in groups of like length: little padding, small arrays."""
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
