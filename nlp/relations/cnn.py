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

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor, nn

from nlp.relations import MODEL_TYPE
from nlp.relations.cues import CUES
from nlp.relations.encoding import NUMBER, PAD, UNKNOWN, Encoded, word_ids
from nlp.relations.features import KINDS, SCOPES
from nlp.relations.network import (
    NetworkModel,
    PairHead,
    RelationConfig,
    RelationNetwork,
    list_pairs,
    load_network,
)
from nlp.relations.sentences import CachedEmbedder, TfidfEmbedder, load_embedder

TFIDF: Final = "tfidf"
TERM: Final = "="  # before the name of a term in the vocabulary
_MIN_TERM_COUNT: Final = 5
SHIPPED: Final = Path(__file__).parent / "weights" / "cnn"


def load(folder: Path | None) -> NetworkModel:
    """Load a trained network; without a folder, the one that ships."""
    return load_network(RelationCnn, folder or SHIPPED)


def create(
    training: Sequence[Encoded],
    *,
    encoder: Path | None = None,
    sentence_embedding: str | None = None,
    **settings: Any,
) -> RelationCnn:
    """A new network with the vocabulary of its training sentences; it has no `encoder`.

    `settings` are those of `RelationCnnConfig`.

    Raises:
        InputError: If the sentence embedding can't be read.
    """
    return new_cnn(RelationCnn, training, sentence_embedding, **settings)


def new_cnn(
    kind: type[RelationCnn],
    training: Sequence[Encoded],
    sentence_embedding: str | None,
    **settings: Any,
) -> RelationCnn:
    """See `create`."""
    embedder = None
    if sentence_embedding == TFIDF:
        embedder = CachedEmbedder(TfidfEmbedder.fit([s for e in training for s in e.sentences]))
    elif sentence_embedding:
        sentence_embedding = str(Path(sentence_embedding).resolve())  # found from any folder
        embedder = CachedEmbedder(load_embedder(Path(sentence_embedding)))
    network = kind(
        kind.config_class(
            vocabulary=make_vocabulary(training),
            sentence_embedding=sentence_embedding,
            vector_size=embedder.size if embedder else 0,
            **settings,
        )
    )
    network.embedder = embedder
    return network


def make_vocabulary(training: Sequence[Encoded], min_count: int = 2) -> list[str]:
    """Words seen often enough; the words that stand for kinds always."""
    counts = Counter(word for e in training for word in e.items.words)
    blinded = (f"<{kind}>" for kind in KINDS if kind not in ("word", *CUES))
    special = [PAD, UNKNOWN, NUMBER, *blinded]
    words = sorted(w for w, n in counts.items() if n >= min_count and w not in special)
    terms = Counter(TERM + term for e in training for term in e.items.terms if term)
    return special + words + sorted(t for t, n in terms.items() if n >= _MIN_TERM_COUNT)


class RelationCnnConfig(RelationConfig):  # type: ignore[no-untyped-call]
    """Sizes, vocabulary and temperature of a `RelationCnn`.

    `sentence_embedding` is where the embedding of the whole sentence comes from: nothing for the
    mean of learned word embeddings, "tfidf", or a path; its vectors have `vector_size` numbers.
    """

    model_type = MODEL_TYPE + "cnn"

    def __init__(
        self,
        vocabulary: Sequence[str] = ("<pad>", "<unk>"),
        word_size: int = 64,
        kind_size: int = 16,
        scope_size: int = 8,
        filters: int = 48,
        widths: Sequence[int] = (3, 5),
        context_layers: int = 2,
        sentence_embedding: str | None = None,
        vector_size: int = 0,
        sentence_size: int = 32,
        max_distance: int = 20,
        **rest: Any,
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.word_size = word_size
        self.kind_size = kind_size
        self.scope_size = scope_size
        self.filters = filters
        self.widths = list(widths)
        self.context_layers = context_layers
        self.sentence_embedding = sentence_embedding
        self.vector_size = vector_size
        self.sentence_size = sentence_size
        self.max_distance = max_distance
        super().__init__(**rest)

    @property
    def channels(self) -> int:
        """The numbers that stand for a word."""
        return self.word_size + self.kind_size + self.scope_size


class RelationCnn(RelationNetwork):
    """The network.

    Shape:
        - words, terms, kinds, scopes: (sentences, items), padded with 0.
        - bookmarks, mentions, pairs, features: see `nlp.relations.network.list_pairs`.
        - vectors: (sentences, vector_size), with a sentence embedding from elsewhere.
        - output: (pairs, 3), logits in the order of `RELATIONS`.
    """

    config_class: Any = RelationCnnConfig

    def __init__(self, config: RelationCnnConfig) -> None:
        super().__init__(config)
        responses = config.filters * len(config.widths)
        distances = 2 * config.max_distance + 1
        channels = config.channels
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
        self.sentence = (
            nn.Linear(config.vector_size, config.sentence_size)
            if config.vector_size
            else nn.EmbeddingBag(
                len(config.vocabulary), config.sentence_size, mode="mean", padding_idx=0
            )
        )
        self.embedder: CachedEmbedder | None = None
        self.dropout = nn.Dropout(config.dropout)
        found = 4 * responses + config.sentence_size
        self.head = PairHead(found, config.feature_size, config.hidden_size, config.dropout)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Small embeddings; PyTorch's defaults elsewhere."""
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            nn.init.normal_(module.weight, std=0.1)

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """The number of each word."""
        return {word: i for i, word in enumerate(self.config.vocabulary)}

    @classmethod
    def load(cls, folder: Path) -> Self:
        network = super().load(folder)
        if source := network.config.sentence_embedding:
            network.embedder = CachedEmbedder(
                TfidfEmbedder.load(folder) if source == TFIDF else load_embedder(Path(source))
            )
        return network

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.embedder and isinstance(self.embedder.embedder, TfidfEmbedder):
            self.embedder.embedder.save(folder)

    def collate(self, encoded: Sequence[Encoded]) -> dict[str, Tensor]:
        words = [word_ids(e.items.words, self.vocabulary) for e in encoded]
        terms = [[self.vocabulary.get(TERM + t, 0) for t in e.items.terms] for e in encoded]
        inputs = {
            "words": _padded(words),
            "terms": _padded(terms),
            "kinds": _padded([e.items.kinds for e in encoded]),
            "scopes": _padded([e.scopes for e in encoded]),
            **list_pairs(encoded),
        }
        if self.embedder:
            vectors = self.embedder.embed([s for e in encoded for s in e.sentences])
            parts = np.split(vectors, np.cumsum([len(e.sentences) for e in encoded])[:-1])
            inputs["vectors"] = torch.from_numpy(np.stack([p.mean(axis=0) for p in parts]))
        return inputs

    def forward(
        self,
        words: Tensor,
        terms: Tensor,
        kinds: Tensor,
        scopes: Tensor,
        bookmarks: Tensor,
        mentions: Tensor,
        pairs: Tensor,
        features: Tensor,
        vectors: Tensor | None = None,
    ) -> Tensor:
        # `index_select` copies rows; plain indexing does the same at twice the time.
        response = self._responses(words, terms, kinds, scopes)
        (sentence, bookmark), mention = bookmarks.unbind(1), mentions[:, 1]
        place = torch.arange(words.shape[1], device=words.device)
        at_bookmark = response.index_select(0, sentence)
        at_bookmark = at_bookmark + self.to_bookmark(self._distance(place, bookmark))
        at_mention = self.to_mention(self._distance(place, mention))
        first, second = pairs.unbind(1)
        # What the filters see of each pair; ReLU comes after the maximum, where there is less.
        seen = at_bookmark.index_select(0, first).add_(at_mention.index_select(0, second))
        ends = torch.stack([bookmark[first], mention[second]], dim=1)
        low, high = ends.amin(dim=1, keepdim=True), ends.amax(dim=1, keepdim=True)
        outside = ((place < low) | (place > high)).unsqueeze(2)
        rows = torch.arange(len(pairs), device=words.device).unsqueeze(1) * len(place) + ends
        whole = self.sentence(words if vectors is None else vectors)
        found = torch.cat(
            [
                torch.relu(seen.amax(dim=1)),
                torch.relu(seen.masked_fill(outside, -torch.inf).amax(dim=1)),
                torch.relu(seen.flatten(0, 1).index_select(0, rows.flatten())).view(len(pairs), -1),
                whole.index_select(0, sentence[first]),
            ],
            dim=1,
        )
        logits: Tensor = self.head(found, features, pairs)
        return logits

    def _responses(self, words: Tensor, terms: Tensor, kinds: Tensor, scopes: Tensor) -> Tensor:
        """What the filters see at each item, nothing at padding; (sentences, items, responses)."""
        # Padding is zero throughout, so that a sentence's company in a batch changes nothing.
        present = (words > 0).unsqueeze(1)
        said = self.word(words) + self.word(terms)
        embedded = torch.cat([said, self.kind(kinds), self.scope(scopes)], dim=2)
        channels = self.dropout(embedded.transpose(1, 2)) * present
        channels = self._in_context(channels, present)
        response = torch.cat([conv(channels) for conv in self.convolutions], dim=1)
        return response.masked_fill(~present, -torch.inf).transpose(1, 2).contiguous()

    def _in_context(self, channels: Tensor, present: Tensor) -> Tensor:
        """Each item with its neighbours; (sentences, channels, items)."""
        for layer in self.context:
            channels = (channels + self.dropout(torch.relu(layer(channels)))) * present
        return channels

    def _distance(self, place: Tensor, item: Tensor) -> Tensor:
        limit: int = self.config.max_distance
        return (place[None, :] - item[:, None]).clamp(-limit, limit) + limit


def _padded(rows: list[list[int]]) -> Tensor:
    padded = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return torch.from_numpy(padded)
