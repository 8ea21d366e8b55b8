"""Train the convolutional relation classifier on annotated sentences."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nlp.ontology import Ontology
from nlp.records import RELATIONS, Passage
from nlp.relations.cnn import CnnModel, RelationCnn, RelationCnnConfig, collate
from nlp.relations.cues import CUES
from nlp.relations.encoding import CURRENT, KINDS, NUMBER, PAD, UNKNOWN, Encoded, build, encode
from nlp.relations.metrics import macro_f1


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. Rates are probabilities by which a sentence is changed when it is drawn."""

    epochs: int = 16
    batch_sentences: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.05
    join_rate: float = 0.3
    drop_word_rate: float = 0.08
    drop_cue_rate: float = 0.25
    swap_kind_rate: float = 0.3
    min_count: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """An encoded sentence and the relation of each of its pairs."""

    encoded: Encoded
    targets: list[int]


def make_examples(passages: Sequence[Passage], ontology: Ontology) -> list[Example]:
    """Encode annotated passages."""
    return [
        Example(encode(p, ontology), [RELATIONS.index(r.relation) for r in p.relations])
        for p in passages
        if p.relations
    ]


def train(
    training: Sequence[Example],
    validation: Sequence[Example],
    ontology: Ontology,
    config: TrainConfig,
) -> Iterator[tuple[CnnModel, dict[str, float]]]:
    """Train, and hand on the model after each epoch with its figures.

    The model handed on is the same object each time; keep the weights of the epoch you want.
    """
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    vocabulary = make_vocabulary(training, config.min_count)
    model = CnnModel(RelationCnn(RelationCnnConfig(vocabulary=vocabulary)), ontology)
    optimizer = torch.optim.AdamW(
        model.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * (len(training) // config.batch_sentences + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, steps)
    weights = class_weights(training)
    for epoch in range(config.epochs):
        model.network.train()
        losses = []
        for batch in _batches(training, config, rng):
            loss = _loss(model, batch, weights, config.label_smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        model.network.train(False)
        logits, targets = predict_logits(model, validation)
        figures = {
            "epoch": float(epoch),
            "loss": float(np.mean(losses)),
            "validation_macro_f1": macro_f1(targets.tolist(), logits.argmax(dim=1).tolist()),
        }
        yield model, figures


def make_vocabulary(examples: Sequence[Example], min_count: int) -> list[str]:
    """Words seen often enough; the words that stand for kinds always."""
    counts = Counter(word for e in examples for word in e.encoded.words)
    blinded = (f"<{kind}>" for kind in KINDS if kind not in ("word", *CUES))
    special = [PAD, UNKNOWN, NUMBER, *blinded]
    words = sorted(w for w, n in counts.items() if n >= min_count and w not in special)
    return special + words


def class_weights(examples: Sequence[Example]) -> Tensor:
    """The square root of inverse frequency: rare relations count more, but not all the way."""
    counts = np.bincount([t for e in examples for t in e.targets], minlength=len(RELATIONS))
    weights = np.sqrt(counts.sum() / np.maximum(counts, 1))
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def fit_temperature(model: CnnModel, validation: Sequence[Example]) -> float:
    """The temperature with the least log loss on the validation sentences (Guo et al. 2017)."""
    logits, targets = predict_logits(model, validation)
    grid = torch.linspace(0.5, 4.0, 71)
    losses = torch.stack([F.cross_entropy(logits / t, targets) for t in grid])
    return float(grid[losses.argmin()])


@torch.inference_mode()
def predict_logits(model: CnnModel, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Logits and targets of all pairs of some examples."""
    inputs = collate([e.encoded for e in examples], model.vocabulary)
    targets = torch.tensor([t for e in examples for t in e.targets], dtype=torch.long)
    return model.network(**inputs), targets


def _loss(model: CnnModel, batch: Sequence[Example], weights: Tensor, smoothing: float) -> Tensor:
    logits = model.network(**collate([e.encoded for e in batch], model.vocabulary))
    targets = torch.tensor([t for e in batch for t in e.targets], dtype=torch.long)
    return F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)


def _batches(
    examples: Sequence[Example], config: TrainConfig, rng: random.Random
) -> Iterator[list[Example]]:
    """All examples in random order, each changed a little."""
    order = rng.sample(range(len(examples)), len(examples))
    for start in range(0, len(order), config.batch_sentences):
        batch = [examples[i] for i in order[start : start + config.batch_sentences]]
        yield [augment(e, rng.choice(examples), config, rng) for e in batch]


def augment(example: Example, other: Example, config: TrainConfig, rng: random.Random) -> Example:
    """Change a sentence without changing its answers.

    Another sentence may follow or precede it, so that what is said there is irrelevant here;
    words become unknown; a hyperlink becomes a size, a size a slice.
    """
    if rng.random() < config.join_rate and len(example.encoded.words) < 40:
        pair = (example, other) if rng.random() < 0.5 else (other, example)
        example = join(*pair, rng.choice((";", ",", "and", ".")))
    words, kinds = list(example.encoded.words), list(example.encoded.kinds)
    for i, kind in enumerate(kinds):
        rate = config.drop_cue_rate if KINDS[kind] in CUES else config.drop_word_rate
        if (KINDS[kind] == "word" or KINDS[kind] in CUES) and rng.random() < rate:
            words[i] = UNKNOWN
        elif KINDS[kind] in CURRENT and rng.random() < config.swap_kind_rate:
            kinds[i] = KINDS.index(rng.choice(CURRENT))
            words[i] = f"<{KINDS[kinds[i]]}>"
    return Example(replace(example.encoded, words=words, kinds=kinds), example.targets)


def join(first: Example, second: Example, by: str) -> Example:
    """Two sentences as one: each keeps its answers, and neither speaks of the other's bookmarks."""
    a, b = first.encoded, second.encoded
    shift = len(a.words) + 1
    moved = [(bookmark + shift, mention + shift) for bookmark, mention in b.pairs]
    across = [(x, y) for x in sorted(_bookmarks(a.pairs)) for y in sorted(_mentions(moved))]
    across += [(x, y) for x in sorted(_bookmarks(moved)) for y in sorted(_mentions(a.pairs))]
    irrelevant = RELATIONS.index("irrelevant")
    return Example(
        build(
            words=[*a.words, by, *b.words],
            kinds=[*a.kinds, KINDS.index("word"), *b.kinds],
            pairs=[*a.pairs, *moved, *across],
        ),
        [*first.targets, *second.targets, *[irrelevant] * len(across)],
    )


def _bookmarks(pairs: Sequence[tuple[int, int]]) -> set[int]:
    return {bookmark for bookmark, _ in pairs}


def _mentions(pairs: Sequence[tuple[int, int]]) -> set[int]:
    return {mention for _, mention in pairs}
