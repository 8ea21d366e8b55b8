"""The label space: the labels in their order, and how they relate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from vision.errors import InputError

_PROBLEMS_SHOWN: Final = 5
_RELATIONS: Final = ("ancestors", "exclusives")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelSpace:
    """The labels in their order, and how they relate.

    Made directly, only shapes are checked, so that lists which are neither closed nor symmetric
    (the published ones) can be compared; `from_json` and `from_index_lists` check everything.

    Attributes:
        names: The labels. Length: C.
        classes: The class of each: bodypart, type or attribute.
        ancestors: Whether label a lies above label c, at [c, a]; transitive. Shape: (C, C), bool.
        exclusives: Whether two labels cannot both hold; symmetric, False on the diagonal.
            Shape: (C, C), bool.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    ancestors: Tensor
    exclusives: Tensor

    def __post_init__(self) -> None:
        size = len(self.names)
        for what, matrix in (("ancestors", self.ancestors), ("exclusives", self.exclusives)):
            if matrix.shape != (size, size) or matrix.dtype != torch.bool:
                raise ValueError(
                    f"Expected {what} of shape ({size}, {size}) and type bool, "
                    f"got {tuple(matrix.shape)} and {matrix.dtype}."
                )
        if len(self.classes) != size:
            raise ValueError(f"Expected {size} classes, one for each label, got {self.classes}.")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_json(cls, path: Path) -> LabelSpace:
        """Read `labels.json` of a lesion dataset: `{"labels": [...]}`, as `to_json` returns it.

        Raises:
            InputError: If the file can't be read, or the labels contradict each other.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"Can't read the labels in {path}: {error}.") from error
        return cls.from_content(content, source=str(path))

    @classmethod
    def from_content(cls, content: Any, *, source: str) -> LabelSpace:
        """The space that the content of a `labels.json` describes; `source` says where it stands.

        Raises:
            InputError: If it is no such content, or the labels contradict each other.
        """
        names, classes, above, excluded = _columns(content, source)
        place = {name: i for i, name in enumerate(names)}
        strange = [
            f"'{name}' names '{other}', which is no label"
            for name, *lists in zip(names, above, excluded, strict=True)
            for other in chain(*lists)
            if other not in place
        ]
        if strange:
            raise InputError(_refusal(source, strange))
        indices = ([[place[o] for o in others] for others in lists] for lists in (above, excluded))
        return cls.from_index_lists(names, classes, *indices, source=source)

    @classmethod
    def from_index_lists(
        cls,
        names: Sequence[str],
        classes: Sequence[str],
        ancestors: Sequence[Sequence[int]],
        exclusives: Sequence[Sequence[int]],
        *,
        source: str = "the model's config",
    ) -> LabelSpace:
        """The space whose relations are given as one list of label indices for each label.

        Raises:
            InputError: If the lists contradict each other; `source` says where they stand.

        Example:
            >>> names = ["lung", "left lung", "liver"]
            >>> space = LabelSpace.from_index_lists(
            ...     names, ["bodypart"] * 3, [[], [0], []], [[2], [2], [0, 1]]
            ... )
            >>> space.expand(torch.tensor([[False, True, False]]))
            tensor([[ True,  True, False]])
        """
        problems = list(_list_problems(names, classes, ancestors, exclusives))
        if not problems:
            above, excluded = _matrix(ancestors), _matrix(exclusives)
            problems = list(_relation_problems(names, above, excluded))
        if problems:
            raise InputError(_refusal(source, problems))
        return cls(names=tuple(names), classes=tuple(classes), ancestors=above, exclusives=excluded)

    @property
    def ancestor_lists(self) -> list[list[int]]:
        """The indices of each label's ancestors, ascending, as a config stores them."""
        return _lists(self.ancestors)

    @property
    def exclusive_lists(self) -> list[list[int]]:
        """The indices of the labels that each label excludes, ascending."""
        return _lists(self.exclusives)

    def to_json(self) -> dict[str, Any]:
        """The content of `labels.json`."""
        rows = zip(self.names, self.classes, self.ancestor_lists, self.exclusive_lists, strict=True)
        return {
            "labels": [
                {
                    "name": name,
                    "class": kind,
                    "ancestors": [self.names[i] for i in above],
                    "exclusives": [self.names[i] for i in excluded],
                }
                for name, kind, above, excluded in rows
            ]
        }

    def expand(self, labels: Tensor) -> Tensor:
        """Add to each row of labels all that lie above them. Shape: (N, C), bool, as returned."""
        return labels | _reach(labels, self.ancestors)

    def finest(self, labels: Tensor) -> Tensor:
        """The row's labels that lie above no other of it. Shape: (N, C), bool, as returned."""
        return labels & ~_reach(labels, self.ancestors)

    def excluded(self, labels: Tensor) -> Tensor:
        """The labels that cannot hold beside one of the row's. Shape: (N, C), bool, as returned."""
        return _reach(labels, self.exclusives)


def check_label_names(
    found: Sequence[str], expected: Sequence[str], *, what: str, than: str, advice: str
) -> None:
    """Refuse label names that are not the expected ones in their order.

    Raises:
        InputError: "`what` has other labels than `than`", the difference, `advice`.

    Example:
        >>> check_label_names(["a", "c"], ["a", "b"], what="A", than="B", advice="Go.")
        Traceback (most recent call last):
        vision.errors.InputError: A has other labels than B: 'c' is new, 'b' is missing. Go.
    """
    if list(found) == list(expected):
        return
    differences = [*_only(found, expected, "new"), *_only(expected, found, "missing")]
    if not differences:
        pairs = enumerate(zip_longest(found, expected, fillvalue="no label"), start=1)
        at, (one, other) = next((i, pair) for i, pair in pairs if len({*pair}) > 1)
        differences = [f"label {at} is '{one}' instead of '{other}'"]
    raise InputError(f"{what} has other labels than {than}: {', '.join(differences)}. {advice}")


def _only(names: Sequence[str], others: Sequence[str], what: str) -> Iterator[str]:
    """The names that the others lack, if any, and what they are."""
    if alone := [f"'{name}'" for name in names if name not in set(others)]:
        more = f" and {len(alone) - _PROBLEMS_SHOWN} more" if len(alone) > _PROBLEMS_SHOWN else ""
        verb = "is" if len(alone) == 1 else "are"
        yield f"{', '.join(alone[:_PROBLEMS_SHOWN])}{more} {verb} {what}"


def _columns(
    content: Any, source: str
) -> tuple[list[str], list[str], list[list[str]], list[list[str]]]:
    """Name, class, ancestors and exclusives of each label."""
    try:
        labels = content["labels"]
        names = [str(label["name"]) for label in labels]
        classes = [str(label["class"]) for label in labels]
        above, excluded = ([[str(o) for o in label[k]] for label in labels] for k in _RELATIONS)
    except (KeyError, TypeError):
        raise InputError(
            f"{source} holds no label table: expected an object 'labels', a list of objects "
            "with name, class, ancestors and exclusives. Write the dataset again."
        ) from None
    return names, classes, above, excluded


def _reach(labels: Tensor, relation: Tensor) -> Tensor:
    """The labels that stand in the relation to one of the row's; counts are exact in float32."""
    counts = labels.float() @ relation.to(labels.device, torch.float32)
    return counts > 0


def _matrix(lists: Sequence[Sequence[int]]) -> Tensor:
    matrix = torch.zeros(len(lists), len(lists), dtype=torch.bool)
    for row, columns in enumerate(lists):
        matrix[row, torch.tensor(columns, dtype=torch.long)] = True
    return matrix


def _lists(matrix: Tensor) -> list[list[int]]:
    return [row.nonzero().flatten().tolist() for row in matrix]


def _list_problems(
    names: Sequence[str],
    classes: Sequence[str],
    ancestors: Sequence[Sequence[int]],
    exclusives: Sequence[Sequence[int]],
) -> Iterator[str]:
    if not names:
        yield "there is no label"
    if not len(names) == len(classes) == len(ancestors) == len(exclusives):
        yield (
            f"{len(names)} names, {len(classes)} classes, {len(ancestors)} lists of ancestors and "
            f"{len(exclusives)} of exclusives are not equally many"
        )
        return
    for name in sorted({name for name in names if list(names).count(name) > 1}):
        yield f"'{name}' stands there more than once"
    for what, lists in zip(_RELATIONS, (ancestors, exclusives), strict=True):
        for name, indices in zip(names, lists, strict=True):
            if len(set(indices)) < len(indices):
                yield f"'{name}' has one label twice among its {what}"
            if not all(0 <= i < len(names) for i in indices):
                yield f"'{name}' has a label that does not exist among its {what}"


def _relation_problems(names: Sequence[str], above: Tensor, excluded: Tensor) -> Iterator[str]:
    for what, matrix in zip(_RELATIONS, (above, excluded), strict=True):
        for i in matrix.diagonal().nonzero().flatten().tolist():
            yield f"'{names[i]}' is among its own {what}"
    for a, b in (excluded & ~excluded.T).nonzero().tolist():
        yield f"'{names[a]}' excludes '{names[b]}', but not the other way round"
    for c, a in (_reach(above, above) & ~above).nonzero().tolist():
        yield f"'{names[a]}' lies above an ancestor of '{names[c]}', but is not among its ancestors"


def _refusal(source: str, problems: list[str]) -> str:
    shown = "; ".join(problems[:_PROBLEMS_SHOWN])
    more = len(problems) - _PROBLEMS_SHOWN
    rest = f"; and {more} more" if more > 0 else ""
    return f"The labels in {source} contradict each other: {shown}{rest}. Write them again."
