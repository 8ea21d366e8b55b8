"""The convolutional classifier with self-attention before its filters.

After Peng et al. 2019 (arXiv:1904.13018): each word attends to all others of the sentence, so that
the filters know of a cue or a bookmark that lies far off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlp.relations import MODEL_TYPE
from nlp.relations.cnn import RelationCnn, RelationCnnConfig, new_cnn
from nlp.relations.encoding import Encoded
from nlp.relations.network import NetworkModel, load_network


def load(folder: Path) -> NetworkModel:
    """Load a trained network."""
    return load_network(RelationCnnAttention, folder)


def create(
    training: Sequence[Encoded],
    *,
    encoder: Path | None = None,
    sentence_embedding: str | None = None,
    **settings: Any,
) -> RelationCnn:
    """See `nlp.relations.cnn.create`."""
    return new_cnn(RelationCnnAttention, training, sentence_embedding, **settings)


class RelationCnnAttentionConfig(RelationCnnConfig):  # type: ignore[no-untyped-call]
    """As `RelationCnnConfig`, and the number of attention heads."""

    model_type = MODEL_TYPE + "cnn-attention"

    def __init__(self, attention_heads: int = 4, **rest: Any) -> None:
        self.attention_heads = attention_heads
        super().__init__(**rest)


class RelationCnnAttention(RelationCnn):
    """The network; shapes as in `RelationCnn`."""

    config_class: Any = RelationCnnAttentionConfig

    def __init__(self, config: RelationCnnAttentionConfig) -> None:
        super().__init__(config)
        self.attention = SelfAttention(
            config.channels, config.attention_heads, config.max_distance, config.dropout
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def _in_context(self, channels: Tensor, present: Tensor) -> Tensor:
        channels = super()._in_context(channels, present)
        attended: Tensor = self.attention(channels.transpose(1, 2), present.squeeze(1))
        return channels + attended.transpose(1, 2) * present


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017) with a learned bias for each distance.

    Shape:
        - items: (sentences, items, channels); present: (sentences, items), False for padding.
        - output: as `items`.
    """

    def __init__(self, channels: int, heads: int, max_distance: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.max_distance = heads, max_distance
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, 3 * channels)
        self.merge = nn.Linear(channels, channels)
        self.bias = nn.Embedding(2 * max_distance + 1, heads)
        self.dropout = nn.Dropout(dropout)

    def forward(self, items: Tensor, present: Tensor) -> Tensor:
        count, length, channels = items.shape
        parts = self.project(self.norm(items)).view(count, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        place = torch.arange(length, device=items.device)
        limit = self.max_distance
        distance = (place[None, :] - place[:, None]).clamp(-limit, limit) + limit
        bias = self.bias(distance).permute(2, 0, 1).unsqueeze(0)
        bias = bias.masked_fill(~present[:, None, None, :], -torch.inf)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        merged = self.merge(attended.transpose(1, 2).reshape(count, length, channels))
        dropped: Tensor = self.dropout(merged)
        return dropped
