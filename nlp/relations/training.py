"""Train a relation network on annotated sentences, with the Trainer of `transformers`."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from nlp.ontology import Ontology
from nlp.records import RELATIONS, Passage
from nlp.relations.cues import CUES
from nlp.relations.encoding import (
    UNKNOWN,
    Draft,
    Encoded,
    Items,
    complete,
    encode,
)
from nlp.relations.features import CURRENT, KINDS
from nlp.relations.metrics import macro_f1
from nlp.relations.network import RelationNetwork, precision_curve

_JOINED_BY: Final = (";", ",", "and", ".", "with", "while")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. Rates are probabilities by which a sentence is changed when it is drawn."""

    epochs: int = 16
    batch_sentences: int = 32
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    label_smoothing: float = 0.05
    join_rate: float = 0.1
    drop_word_rate: float = 0.08
    drop_cue_rate: float = 0.1
    drop_term_rate: float = 0.4
    swap_kind_rate: float = 0.3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """An encoded sentence, the relation of each of its pairs, and how much each pair counts."""

    encoded: Encoded
    targets: list[int]
    weights: list[float]


def make_examples(
    passages: Sequence[Passage], ontology: Ontology, *, weight: float = 1.0
) -> list[Example]:
    """Encode annotated passages."""
    passages = [p for p in passages if p.relations]
    return [
        Example(
            encoded,
            [RELATIONS.index(r.relation) for r in p.relations],
            [weight] * len(p.relations),
        )
        for p, encoded in zip(passages, encode(passages, ontology), strict=True)
    ]


def train(
    network: RelationNetwork,
    training: Sequence[Example],
    validation: Sequence[Example],
    ontology: Ontology,
    config: TrainConfig,
    say: Callable[[dict[str, float]], None] = lambda figures: None,
) -> list[dict[str, float]]:
    """Train a network in place; it keeps the epoch with the best macro-F1 on the validation.

    Args:
        network: Made with the seed of the configuration set.
        training: The sentences to learn from, changed a little each time they are drawn.
        validation: The sentences that choose the epoch and, in the end, the temperature.
        ontology: The label table.
        config: See there.
        say: Takes the figures of each epoch.

    Returns:
        The figures of the epochs: `epoch`, `loss`, `validation_loss`, `validation_macro_f1`.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = _RelationTrainer(
            model=network,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=config.epochs,
                per_device_train_batch_size=config.batch_sentences,
                lr_scheduler_type="cosine",
                warmup_steps=0.3,
                max_grad_norm=1.0,
                seed=config.seed,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
                dataloader_pin_memory=False,
            ),
            train_dataset=training,
            data_collator=_Collator(network, training, ontology, config),
            optimizers=(_optimizer(network, config), None),
        )
        trainer.class_weights = class_weights(training)
        trainer.label_smoothing = config.label_smoothing
        best = _BestEpoch(trainer, validation, say)
        trainer.add_callback(best)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_Bar)
        trainer.train()
    network.load_state_dict(best.weights)
    network.cpu()
    network.train(False)
    logits, targets = predict_logits(network, validation)
    temperature = fit_temperature(logits, targets)
    relevant = RELATIONS.index("relevant")
    network.config.calibration_temperature = temperature
    network.config.precision_curve = precision_curve(
        (logits / temperature).softmax(dim=1)[:, relevant].tolist(), (targets == relevant).tolist()
    )
    return best.curve


class _RelationTrainer(Trainer):
    """Cross-entropy in which rare relations and the sentences of some corpora count more."""

    class_weights: Tensor
    label_smoothing: float

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.losses: list[float] = []  # of the steps since someone took them

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        targets, weights = inputs.pop("labels"), inputs.pop("weights")
        logits = model(**inputs)
        of_class = self.class_weights.to(logits.device)
        loss = weighted_loss(logits, targets, weights, of_class, self.label_smoothing)
        self.losses.append(loss.item())
        return (loss, logits) if return_outputs else loss


def weighted_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, class_weights: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy as the mean over pairs that count differently.

        L = sum_i w_i c_(y_i) CE_i / sum_i w_i c_(y_i)

    Shape:
        - logits: (pairs, 3); targets, weights w: (pairs,); class_weights c: (3,).
        - output: ().
    """
    losses = F.cross_entropy(
        logits, targets, class_weights, label_smoothing=smoothing, reduction="none"
    )
    return (weights * losses).sum() / (weights * class_weights[targets]).sum()


class _Bar(TrainerCallback):
    """A progress bar over the steps, where a person can see it."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.bar = tqdm(total=state.max_steps, desc="Training", leave=False, disable=None)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.bar.close()


class _Collator:
    """Draw a batch: change its sentences a little, and pad them."""

    def __init__(
        self,
        network: RelationNetwork,
        examples: Sequence[Example],
        ontology: Ontology,
        config: TrainConfig,
    ) -> None:
        self.network, self.examples = network, examples
        self.ontology, self.config = ontology, config
        self.rng = random.Random(config.seed)

    def __call__(self, batch: Sequence[Example]) -> dict[str, Tensor]:
        drawn = [
            augment(e, self.rng.choice(self.examples), self.config, self.ontology, self.rng)
            for e in batch
        ]
        return {
            **self.network.collate([e.encoded for e in drawn]),
            "labels": torch.tensor([t for e in drawn for t in e.targets]),
            "weights": torch.tensor([w for e in drawn for w in e.weights]),
        }


class _BestEpoch(TrainerCallback):
    """Score each epoch on the validation sentences, and keep the weights of the best."""

    def __init__(
        self,
        trainer: _RelationTrainer,
        validation: Sequence[Example],
        say: Callable[[dict[str, float]], None],
    ) -> None:
        self.trainer, self.validation, self.say = trainer, validation, say
        self.curve: list[dict[str, float]] = []
        self.weights: dict[str, Tensor] = {}

    def on_epoch_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        network = cast(RelationNetwork, self.trainer.model)
        network.train(False)
        logits, targets = predict_logits(network, self.validation)
        score = macro_f1(targets.tolist(), logits.argmax(dim=1).tolist())
        if score > max((f["validation_macro_f1"] for f in self.curve), default=-1.0):
            self.weights = {k: v.clone() for k, v in network.state_dict().items()}
        network.train()
        figures = {
            "epoch": len(self.curve) + 1,
            "loss": float(np.mean(self.trainer.losses)),
            "validation_loss": float(F.cross_entropy(logits, targets)),
            "validation_macro_f1": score,
        }
        self.trainer.losses.clear()
        self.curve.append(figures)
        self.say(figures)


def _optimizer(network: RelationNetwork, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; a pretrained encoder learns slower than what stands on it."""
    new: list[nn.Parameter] = []
    pretrained: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (pretrained if name.startswith("encoder.") else new).append(parameter)
    groups = [
        {"params": new, "lr": config.learning_rate},
        {"params": pretrained, "lr": config.encoder_learning_rate},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=config.weight_decay)


def class_weights(examples: Sequence[Example]) -> Tensor:
    """The square root of inverse frequency: rare relations count more, but not all the way."""
    counts = np.bincount([t for e in examples for t in e.targets], minlength=len(RELATIONS))
    weights = np.sqrt(counts.sum() / np.maximum(counts, 1))
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature with the least log loss (Guo et al. 2017, arXiv:1706.04599)."""
    grid = torch.linspace(0.5, 4.0, 71)
    losses = torch.stack([F.cross_entropy(logits / t, targets) for t in grid])
    return float(grid[losses.argmin()])


@torch.inference_mode()
def predict_logits(network: RelationNetwork, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Logits and targets of all pairs of some examples, on the CPU."""
    logits = []
    for start in range(0, len(examples), 64):
        inputs = network.collate([e.encoded for e in examples[start : start + 64]])
        logits.append(network(**{k: v.to(network.device) for k, v in inputs.items()}).cpu())
    return torch.cat(logits), torch.tensor([t for e in examples for t in e.targets])


def augment(
    example: Example, other: Example, config: TrainConfig, ontology: Ontology, rng: random.Random
) -> Example:
    """Change a sentence without changing its answers.

    Another sentence may follow or precede it, so that what is said there is irrelevant here; words
    and labels become unknown; a hyperlink becomes a size, a size a slice. What is written
    (`Items.texts`), which only a pretrained encoder reads, stays but for the joining.
    """
    if rng.random() < config.join_rate and len(example.encoded.items.words) < 40:
        pair = (example, other) if rng.random() < 0.5 else (other, example)
        example = join(*pair, rng.choice(_JOINED_BY), ontology)
    items = example.encoded.items
    words, kinds, terms = list(items.words), list(items.kinds), list(items.terms)
    for i, kind in enumerate(kinds):
        rate = config.drop_cue_rate if KINDS[kind] in CUES else config.drop_word_rate
        if (KINDS[kind] == "word" or KINDS[kind] in CUES) and rng.random() < rate:
            words[i] = UNKNOWN
        elif KINDS[kind] in CURRENT and rng.random() < config.swap_kind_rate:
            kinds[i] = KINDS.index(rng.choice(CURRENT))
            words[i] = f"<{KINDS[kinds[i]]}>"
        elif terms[i] and rng.random() < config.drop_term_rate:
            terms[i] = ""
    changed = replace(example.encoded, items=replace(items, words=words, kinds=kinds, terms=terms))
    return Example(changed, example.targets, example.weights)


def join(first: Example, second: Example, by: str, ontology: Ontology) -> Example:
    """Two sentences as one: each keeps its answers, and neither speaks of the other's bookmarks."""
    a, b = first.encoded, second.encoded
    front = a.items.at(range(len(a.items.words) - (a.items.words[-1] == ".")))
    shift = len(front.words) + 1
    moved = [(bookmark + shift, mention + shift) for bookmark, mention in b.pairs]
    across = [(x, y) for x in _bookmarks(a.pairs) for y in _mentions(moved)]
    across += [(x, y) for x in _bookmarks(moved) for y in _mentions(a.pairs)]
    joint = Items([by], [by], [KINDS.index("word")], [""])
    least = min(*first.weights, *second.weights)
    draft = Draft(front + joint + b.items, [*a.pairs, *moved, *across], a.sentences + b.sentences)
    return Example(
        complete([draft], ontology)[0],
        [*first.targets, *second.targets, *[RELATIONS.index("irrelevant")] * len(across)],
        [*first.weights, *second.weights, *[least] * len(across)],
    )


def _bookmarks(pairs: Sequence[tuple[int, int]]) -> list[int]:
    return sorted({bookmark for bookmark, _ in pairs})


def _mentions(pairs: Sequence[tuple[int, int]]) -> list[int]:
    return sorted({mention for _, mention in pairs})
