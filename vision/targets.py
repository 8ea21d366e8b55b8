"""What a lesion's label lists teach a network, and what it is scored against.

The dataset says which labels are relevant, uncertain and irrelevant; a label in none of the
lists was not mentioned. Here the three become targets, by the rules of the authors' code
(Yan et al. 2019, arXiv:1904.04661, sections 3.2 and 4.1):

- positive: relevant and uncertain labels (their setting RU), and what lies above them;
- negative: everything else, mentioned or not, but for
- unknown: uncertain labels that do not count as positive, and what lies above them. One that is
  exclusive with a positive is no longer in doubt: it is negative;
- reliable: positives, and labels that cannot hold beside a positive. Mining draws from these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, Self

import torch
from torch import Tensor

from vision.labels import LabelSpace

Positives = Literal["R", "RU", "RUI"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Targets:
    """What is known of N lesions and C labels; each a bool of shape (N, C).

    Attributes:
        positive: The label holds.
        known: It is settled whether it holds; where not, the pair counts in no loss or score.
        reliable: It holds, or it is exclusive with one that does.
    """

    positive: Tensor
    known: Tensor
    reliable: Tensor

    def __len__(self) -> int:
        return len(self.positive)

    def __getitem__(self, rows: Tensor | Sequence[int]) -> Self:
        """Those of some lesions, given by a mask or by their numbers."""
        return self._each(lambda values: values[rows])

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{f.name: change(getattr(self, f.name)) for f in fields(self)})


def targets_of(
    relevant: Tensor,
    uncertain: Tensor,
    irrelevant: Tensor,
    space: LabelSpace,
    *,
    positives: Positives = "RU",
    expansion: bool = True,
) -> Targets:
    """Turn label lists into targets.

    The authors train with RU and score with R. They do not expand the positives, since the
    published lists are for the most part expanded already; what was missing there counts as
    unknown above an uncertain label, and as negative elsewhere.

    Args:
        relevant: Labels said of the lesion. Shape: (N, C), bool.
        uncertain: Labels said of it with doubt. Shape: (N, C), bool.
        irrelevant: Labels said of something else. Shape: (N, C), bool.
        space: The C labels.
        positives: What counts as positive: R, relevant; RU, uncertain ones too; RUI, every
            label that a sentence mentions.
        expansion: Whether what lies above a positive is positive too.

    Returns:
        The targets, on the device of `relevant`. An uncertain label, or one above it, that is
        no positive is unknown, unless it is exclusive with a positive: then it is negative.

    Raises:
        ValueError: If `positives` is none of the three.
    """
    if positives not in ("R", "RU", "RUI"):
        raise ValueError(f"Expected R, RU or RUI as positives, got {positives!r}.")
    positive = relevant
    if "U" in positives:
        positive = positive | uncertain
    if "I" in positives:
        positive = positive | irrelevant
    if expansion:
        positive = space.expand(positive)
    reliable = positive | space.excluded(positive)
    return Targets(positive=positive, known=reliable | ~space.expand(uncertain), reliable=reliable)
