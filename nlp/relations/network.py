"""What the trained relation networks share: how pairs are scored, predicted, saved and loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from nlp.errors import InputError
from nlp.ontology import Ontology
from nlp.records import RELATIONS, Passage
from nlp.relations import MODEL_TYPE, Probabilities
from nlp.relations.encoding import Encoded, encode
from nlp.relations.features import FEATURES

WEIGHTS: Final = "model.safetensors"
_PAIRS_AT_A_TIME: Final = 192  # more would not fit into a core's cache
_NO_PAIRS: Final = np.zeros((0, len(RELATIONS)), dtype=np.float32)


class PairHead(nn.Module):
    """Score pairs by what the sentence's encoder found, their features, and their rivals.

    A pair is compared with the strongest of its bookmark's pairs and of its mention's pairs, since
    a label that belongs to one bookmark rarely belongs to the next.

    Shape:
        - found: (pairs, found), what the encoder says of each pair.
        - features: (pairs, features), rows of the feature table: `nlp.relations.features`.
        - pairs: (pairs, 2), the bookmark and the mention of each, by number.
        - output: (pairs, 3), logits in the order of `RELATIONS`.
    """

    def __init__(self, found: int, feature_size: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.feature = nn.EmbeddingBag(FEATURES, feature_size, mode="sum")
        self.hidden = nn.Linear(found + feature_size, hidden_size)
        self.rivals = nn.Linear(3 * hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, len(RELATIONS))
        self.dropout = nn.Dropout(dropout)

    def forward(self, found: Tensor, features: Tensor, pairs: Tensor) -> Tensor:
        found = torch.cat([found, self.feature(features)], dim=1)
        hidden = torch.relu(self.hidden(self.dropout(found)))
        rivals = torch.cat([hidden, *(_max_of(hidden, group) for group in pairs.unbind(1))], dim=1)
        hidden = hidden + torch.relu(self.rivals(self.dropout(rivals)))
        logits: Tensor = self.output(self.dropout(hidden))
        return logits


def _max_of(hidden: Tensor, group: Tensor) -> Tensor:
    """For each pair the largest values among the pairs of its group; values are not negative."""
    most = hidden.new_zeros(int(group.max()) + 1, hidden.shape[1])
    index = group.unsqueeze(1).expand_as(hidden)
    return most.scatter_reduce(0, index, hidden, "amax")[group]


class RelationConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """What the configurations of all relation networks hold.

    `precision_curve` holds thresholds of the probability of "relevant", each with the precision
    that the pairs above it had on the validation sentences.
    """

    def __init__(
        self,
        feature_size: int = 48,
        hidden_size: int = 96,
        dropout: float = 0.4,
        calibration_temperature: float = 1.0,
        precision_curve: Sequence[tuple[float, float]] = (),
        **rest: Any,
    ) -> None:
        self.feature_size = feature_size
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.calibration_temperature = calibration_temperature
        self.precision_curve = [list(point) for point in precision_curve]
        super().__init__(**rest)


class RelationNetwork(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A network that scores all pairs of some sentences at once."""

    config_class: Any = RelationConfig

    def collate(self, encoded: Sequence[Encoded]) -> dict[str, Tensor]:
        """The inputs of `forward` for some sentences with pairs."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder that `save` wrote.

        Raises:
            OSError, ValueError, RuntimeError, KeyError, SafetensorError: If it holds none.
        """
        # Not `from_pretrained`, which takes a second to find out that there is nothing to fetch.
        network = cls(cls.config_class.from_pretrained(folder, local_files_only=True))
        network.load_state_dict(load_file(folder / WEIGHTS))
        return network

    def save(self, folder: Path) -> None:
        """Write a folder that `load` and `from_pretrained` read."""
        self.config.save_pretrained(folder)
        save_file(self.state_dict(), folder / WEIGHTS, metadata={"format": "pt"})


def load_network(network: type[RelationNetwork], folder: Path) -> NetworkModel:
    """Load a trained network as a relation model.

    Raises:
        InputError: If the folder holds no such network, or what it refers to is missing.
    """
    try:
        return NetworkModel(network.load(folder), Ontology.from_csv())
    except InputError:  # of a sentence embedding elsewhere, which says more
        raise
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{folder} holds no relation model that can be read. Train one with "
            "'lesionary relations train', or choose --relations rules."
        ) from error


def list_pairs(encoded: Sequence[Encoded]) -> dict[str, Tensor]:
    """The pairs of some sentences, as all relation networks take them.

    Returns:
        - bookmarks, mentions: (bookmarks, 2) and (mentions, 2), the sentence and item of each.
        - pairs: (pairs, 2), places in `bookmarks` and `mentions`.
        - features: (pairs, features), rows of the feature table: `nlp.relations.features`.
    """
    bookmarks: dict[tuple[int, int], int] = {}
    mentions: dict[tuple[int, int], int] = {}
    pairs = [
        (
            bookmarks.setdefault((row, bookmark), len(bookmarks)),
            mentions.setdefault((row, mention), len(mentions)),
        )
        for row, e in enumerate(encoded)
        for bookmark, mention in e.pairs
    ]
    return {
        "bookmarks": torch.tensor(list(bookmarks)),
        "mentions": torch.tensor(list(mentions)),
        "pairs": torch.tensor(pairs),
        "features": torch.from_numpy(np.concatenate([e.features for e in encoded])),
    }


class NetworkModel:
    """A trained network as a relation model."""

    def __init__(self, network: RelationNetwork, ontology: Ontology) -> None:
        self.network = network
        network.train(False)
        self.ontology = ontology
        self.relevant_at_least = 0.0

    def demand(self, precision: float) -> None:
        """Call a pair relevant only above the lowest threshold that keeps this precision.

        Raises:
            InputError: If no threshold does.
        """
        self.relevant_at_least = _threshold(self.network.config.precision_curve, precision)

    @property
    def digest(self) -> str:
        """Changes with any weight, setting or demand."""
        demand = f"-{self.relevant_at_least:.2f}" if self.relevant_at_least else ""
        return self._digest + demand

    @cached_property
    def _digest(self) -> str:
        config = self.network.config.to_diff_dict()
        for about in ("architectures", "dtype", "transformers_version"):
            config.pop(about, None)
        hasher = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        for name, weight in sorted(self.network.state_dict().items()):
            hasher.update(name.encode() + weight.numpy().tobytes())
        name = self.network.config.model_type.removeprefix(MODEL_TYPE)
        return f"{name}-{hasher.hexdigest()[:16]}"

    @torch.inference_mode()
    def predict(self, passages: Sequence[Passage]) -> list[Probabilities]:
        """Probabilities of every pair of each passage; see `nlp.relations`."""
        encoded = encode(passages, self.ontology)
        temperature = self.network.config.calibration_temperature
        predicted = [_NO_PAIRS] * len(encoded)
        for group in _by_length(encoded):
            logits = self.network(**self.network.collate([encoded[i] for i in group]))
            rows = (logits / temperature).softmax(dim=1).numpy()
            ends = np.cumsum([len(encoded[i].pairs) for i in group])
            for place, part in zip(group, np.split(rows, ends[:-1]), strict=True):
                predicted[place] = part
        return predicted


def precision_curve(probabilities: Sequence[float], relevant: Sequence[bool]) -> list[list[float]]:
    """The precision of "relevant" above each threshold from 0.34 to 0.99 that 50 pairs reach.

    Args:
        probabilities: Of "relevant". Shape: (pairs,).
        relevant: Whether each pair is.
    """
    scores, truths = np.asarray(probabilities), np.asarray(relevant)
    thresholds = [round(0.34 + 0.01 * i, 2) for i in range(66)]
    above = [(t, truths[scores >= t]) for t in thresholds]
    return [[t, round(float(kept.mean()), 4)] for t, kept in above if len(kept) >= 50]


def _threshold(curve: Sequence[Sequence[float]], precision: float) -> float:
    """The lowest threshold from which on the precision is kept."""
    lowest = None
    for threshold, reached in reversed(curve):
        if reached < precision:
            break
        lowest = threshold
    if lowest is None:
        best = max((reached for _, reached in curve), default=0.0)
        raise InputError(
            f"The relation model reaches a precision of {best:.3f} on its validation sentences, "
            f"not {precision:.3f}. Ask for less with --precision."
        )
    return lowest


def _by_length(encoded: Sequence[Encoded]) -> Iterator[list[int]]:
    """Group the sentences with pairs by length, as places: little padding, small arrays."""
    group: list[int] = []
    pairs = 0
    for i in sorted(range(len(encoded)), key=lambda i: len(encoded[i].items.words)):
        if not encoded[i].pairs:
            continue
        group.append(i)
        pairs += len(encoded[i].pairs)
        if pairs >= _PAIRS_AT_A_TIME:
            yield group
            group, pairs = [], 0
    if group:
        yield group
