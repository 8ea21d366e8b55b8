"""A pretrained text encoder as relation classifier, from any local folder of `transformers`.

Typed entity markers after Zhou and Chen 2022 (arXiv:2102.01373), of signs that every vocabulary
has: "a @ size 9 mm @ # type nodule # of the ...". A sentence is encoded once for all its pairs; a
pair is the first marker of its bookmark and the first marker of its mention.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer

from nlp.errors import InputError
from nlp.relations import MODEL_TYPE
from nlp.relations.encoding import Encoded, Items
from nlp.relations.features import CURRENT, KINDS, MENTIONS
from nlp.relations.network import (
    NetworkModel,
    PairHead,
    RelationConfig,
    RelationNetwork,
    list_pairs,
    load_network,
)

_NAMES: Final = {
    "bodypart": "place", "measurement": "size", "hyperlink": "link", "prior": "prior",
    "other": "thing", "slice": "image",
}  # fmt: skip
# A pretrained encoder needs few passes, and small steps not to forget; fields of `TrainConfig`.
TRAINING: Final = {"epochs": 5, "batch_sentences": 16, "learning_rate": 1e-3}


def load(folder: Path) -> NetworkModel:
    """Load a trained network."""
    return load_network(RelationTransformer, folder)


def create(
    training: Sequence[Encoded],
    *,
    encoder: Path | None = None,
    sentence_embedding: str | None = None,
    **settings: Any,
) -> RelationTransformer:
    """A new network on a pretrained encoder; it has no sentence embedding.

    Raises:
        InputError: If there is no encoder.
    """
    if encoder is None:
        raise InputError(
            "The transformer needs a pretrained encoder: give its folder with --encoder."
        )
    return RelationTransformer.from_encoder(encoder, **settings)


class RelationTransformerConfig(RelationConfig):  # type: ignore[no-untyped-call]
    """Configuration of the encoder, and of what stands on it."""

    model_type = MODEL_TYPE + "transformer"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        dropout: float = 0.1,
        max_tokens: int = 256,
        **rest: Any,
    ) -> None:
        self.encoder = encoder or {}
        self.max_tokens = max_tokens
        super().__init__(dropout=dropout, **rest)


class RelationTransformer(RelationNetwork):
    """The network; its folder holds the tokenizer too.

    Shape:
        - input_ids, attention_mask: (sentences, tokens).
        - bookmarks, mentions, pairs, features: see `nlp.relations.network.list_pairs`, with the
          first token of each item.
        - output: (pairs, 3), logits in the order of `RELATIONS`.
    """

    config_class = RelationTransformerConfig
    tokenizer: Any = None

    def __init__(self, config: RelationTransformerConfig) -> None:
        super().__init__(config)
        inner = dict(config.encoder)
        settings = AutoConfig.for_model(inner.pop("model_type"), **inner)
        self.encoder = AutoModel.from_config(settings)  # type: ignore[no-untyped-call]
        size = self.encoder.config.hidden_size
        self.head = PairHead(2 * size, config.feature_size, config.hidden_size, config.dropout)
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_encoder(cls, folder: Path, **settings: Any) -> RelationTransformer:
        """Put a new head on a pretrained encoder.

        Raises:
            InputError: If the folder holds no encoder with a tokenizer that `transformers` reads.
        """
        try:
            encoder = AutoModel.from_pretrained(folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{folder} holds no encoder that transformers can read. Give a folder with "
                "config.json, model.safetensors and the tokenizer's files."
            ) from error
        network = cls(RelationTransformerConfig(encoder=encoder.config.to_dict(), **settings))
        network.encoder.load_state_dict(encoder.state_dict())
        network.tokenizer = tokenizer
        return network

    @classmethod
    def load(cls, folder: Path) -> Self:
        network = super().load(folder)
        network.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return network

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.tokenizer.save_pretrained(folder)

    def collate(self, encoded: Sequence[Encoded]) -> dict[str, Tensor]:
        marked = [_mark(e.items) for e in encoded]
        tokens = self.tokenizer(
            [words for words, _ in marked],
            is_split_into_words=True,
            truncation=True,
            max_length=min(self.config.max_tokens, self.tokenizer.model_max_length),
            padding=True,
            return_tensors="pt",
        )
        inputs = list_pairs(encoded)
        first = [
            [_first_token(tokens.word_ids(row), place) for place in places]
            for row, (_, places) in enumerate(marked)
        ]
        for name in ("bookmarks", "mentions"):
            inputs[name] = torch.tensor([(r, first[r][item]) for r, item in inputs[name].tolist()])
        return {**{name: tokens[name] for name in ("input_ids", "attention_mask")}, **inputs}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        bookmarks: Tensor,
        mentions: Tensor,
        pairs: Tensor,
        features: Tensor,
    ) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        first, second = pairs.unbind(1)
        at_bookmark, at_mention = (hidden[ends.unbind(1)] for ends in (bookmarks, mentions))
        found = torch.cat([at_bookmark[first], at_mention[second]], dim=1)
        logits: Tensor = self.head(found, features, pairs)
        return logits


def _mark(items: Items) -> tuple[list[str], list[int]]:
    """The words with their markers, and the place of each item's first word in them."""
    words: list[str] = []
    places = []
    for text, kind in zip(items.texts, (KINDS[k] for k in items.kinds), strict=True):
        places.append(len(words))
        name = _NAMES.get(kind, kind)
        if kind in MENTIONS:
            words += ["#", name, text, "#"]
        elif kind in CURRENT or kind == "prior":
            words += ["@", name, text, "@"]
        else:
            words.append(text)
    return words, places


def _first_token(word_ids: list[int | None], word: int) -> int:
    """The first token of a word; the last token for what was cut off."""
    return word_ids.index(word) if word in word_ids else len(word_ids) - 1
