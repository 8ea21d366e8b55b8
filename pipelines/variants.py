"""What is compared with the full model: other methods, parts left out, other settings.

Adding a variant is one entry in `VARIANTS`. The paper's are those of tables 1 and 3 of Yan et al.
(2019, arXiv:1904.04661).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from vision.errors import InputError
from vision.recipe import TrainConfig

FULL: Final = "full"
DEFAULT: Final = ("methods", "parts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A row of the tables.

    Attributes:
        title: What the tables call it.
        group: What it belongs to; `--variants` takes a group for all of its members.
        change: From the recipe of the full model to this one's.
        same_as: The variant that has the very same recipe: trained once, shown twice.
    """

    title: str
    group: str
    change: Callable[[TrainConfig], TrainConfig] = lambda config: config
    same_as: str | None = None


def _with(**changes: Any) -> Callable[[TrainConfig], TrainConfig]:
    return lambda config: replace(config, **changes)


def _loss(**changes: Any) -> Callable[[TrainConfig], TrainConfig]:
    return lambda config: replace(config, loss=replace(config.loss, **changes))


def _batch(factor: float) -> Callable[[TrainConfig], TrainConfig]:
    return lambda config: replace(config, batch_size=max(1, round(factor * config.batch_size)))


def _method(name: str, title: str) -> Variant:
    return Variant(title=title, group="methods", change=_with(method=name))


VARIANTS: Final[dict[str, Variant]] = {
    "multilabel": _method("multilabel", "Multiscale multilabel CNN"),
    "warp": _method("warp", "WARP"),
    "embedding": _method("embedding", "Lesion embedding"),
    FULL: Variant(title="LesaNet", group="methods"),
    "no-propagation": Variant(
        title="without score propagation", group="parts", change=_loss(propagated=0.0)
    ),
    "no-rhem": Variant(
        title="without hard example mining", group="parts", change=_loss(hard_examples=0.0)
    ),
    "no-expansion": Variant(
        title="without label expansion", group="parts", change=_with(expansion=False)
    ),
    "no-text-mining": Variant(
        title="without text mining (all mentioned labels)",
        group="parts",
        change=_with(positives="RUI"),
    ),
    "no-triplets": Variant(title="without triplet loss", group="parts", change=_loss(triplets=0.0)),
    "labels-r": Variant(title="labels: R", group="labels", change=_with(positives="R")),
    "labels-ru": Variant(title="labels: R + U", group="labels", same_as=FULL),
    "labels-rui": Variant(title="labels: R + U + I", group="labels", same_as="no-text-mining"),
    "rhem-unreliable": Variant(
        title="hard examples of unreliable pairs too",
        group="mining",
        change=_loss(unreliable=True),
    ),
    "batch-quarter": Variant(title="batch size / 4", group="batch", change=_batch(1 / 4)),
    "batch-half": Variant(title="batch size / 2", group="batch", change=_batch(1 / 2)),
    "batch-double": Variant(title="batch size x 2", group="batch", change=_batch(2)),
}
GROUPS: Final = tuple(dict.fromkeys(variant.group for variant in VARIANTS.values()))


def choose_variants(names: Iterable[str] = DEFAULT) -> tuple[str, ...]:
    """The variants that names and groups ask for, in the order of the tables, the full model too.

    Raises:
        InputError: If there is no such variant or group.

    Example:
        >>> choose_variants(["no-triplets", "labels"])
        ('full', 'no-triplets', 'labels-r', 'labels-ru', 'labels-rui')
    """
    asked = {name for name in names if name}
    known = {"all", *GROUPS, *VARIANTS}
    if unknown := sorted(asked - known):
        raise InputError(
            f"There is no variant '{unknown[0]}'. Choose of the groups all, {', '.join(GROUPS)}, "
            f"or of {', '.join(VARIANTS)}."
        )
    return tuple(
        name
        for name, variant in VARIANTS.items()
        if name == FULL or asked & {"all", name, variant.group}
    )


def trained(names: Sequence[str]) -> tuple[str, ...]:
    """The variants to train for some rows: each recipe once.

    Example:
        >>> trained(["full", "labels-ru", "labels-rui"])
        ('full', 'no-text-mining')
    """
    return tuple(dict.fromkeys(VARIANTS[name].same_as or name for name in names))
