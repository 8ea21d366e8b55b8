"""The label table: names, synonyms, hierarchy and exclusions of the lesion labels.

The shipped table holds the 171 labels of LesaNet (Yan et al. 2019, arXiv:1904.04661, section 3.1),
which are RadLex terms, and finer phrases that stand for one of them. Columns:

    term       the name; rows are found by it
    class      bodypart, type, attribute, or none for words that only look like a label
    label      "yes" for a label; "no" for a finer phrase that states its parents
    parents    direct parents, joined with " | "; ancestors are their transitive closure
    exclusive  terms that a lesion cannot have beside this one; holds for descendants too
    synonyms   other words for it; case, hyphens and plurals do not matter when matching
    radlex_id  RadLex ids, where known
    note       why the row differs from the published list

The columns of the published LesaNet ontology (`term_parents`, `term_exclusive`) are read as well.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nlp.errors import InputError

DEFAULT_TABLE: Final = Path(__file__).parent / "data" / "ontology.csv"
SEPARATOR: Final = "|"
EXCLUSIVE, ONE_BRANCH = 1, 2
CLASSES: Final = ("bodypart", "type", "attribute", "none")
PUBLISHED_COLUMNS: Final = {
    "term_parents": "parents",
    "term_exclusive": "exclusive",
    "id": "radlex_id",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One row of the table; `row` is its line, for error messages."""

    name: str
    row: int
    kind: str
    is_label: bool = True
    parents: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    radlex_ids: tuple[str, ...] = ()
    note: str = ""

    @property
    def phrases(self) -> tuple[str, ...]:
        """The name and every synonym."""
        return (self.name, *self.synonyms)


@dataclass(frozen=True)
class Ontology:
    """A checked table; look terms up by name.

    Raises:
        InputError: If a parent or exclusive term has no row, if parents run in a circle, if a
            term has two rows, or if one phrase belongs to two terms. All problems are listed.
    """

    terms: Mapping[str, Term] = field(repr=False)
    source: str = ""

    @classmethod
    def from_csv(cls, path: Path | None = None) -> Ontology:
        """Read and check a table; without a path, the shipped one."""
        path = path or DEFAULT_TABLE
        terms = list(_read_terms(path))
        problems = list(_problems(terms))
        if problems:
            raise InputError(_refusal(path, problems))
        return cls(terms={term.name: term for term in terms}, source=str(path))

    def __getitem__(self, name: str) -> Term:
        return self.terms[name]

    def __contains__(self, name: object) -> bool:
        return name in self.terms

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The label names, in the order of the table."""
        return tuple(name for name, term in self.terms.items() if term.is_label)

    @cached_property
    def label_index(self) -> dict[str, int]:
        """The place of each label in `labels`."""
        return {name: i for i, name in enumerate(self.labels)}

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Every term's label ancestors: the transitive closure of `parents`, without itself."""
        closed: dict[str, frozenset[str]] = {}
        for name in self.terms:
            self._close(name, closed)
        return closed

    def _close(self, name: str, closed: dict[str, frozenset[str]]) -> frozenset[str]:
        if name not in closed:
            parents = self.terms[name].parents
            above = frozenset(parents).union(*(self._close(p, closed) for p in parents))
            closed[name] = frozenset(p for p in above if self.terms[p].is_label)
        return closed[name]

    @cached_property
    def direct_parents(self) -> dict[str, tuple[str, ...]]:
        """The labels just above each term: its ancestors less the ancestors of those."""
        return {
            name: tuple(sorted(a for a in above if not any(a in self.ancestors[b] for b in above)))
            for name, above in self.ancestors.items()
        }

    @cached_property
    def exclusions(self) -> dict[str, frozenset[str]]:
        """For each label, the labels that a lesion cannot have beside it.

        Symmetric, and closed over descendants: what excludes a label excludes all below it.
        A label never excludes itself or an ancestor.
        """
        below: dict[str, set[str]] = {name: {name} for name in self.labels}
        for name in self.labels:
            for ancestor in self.ancestors[name]:
                below[ancestor].add(name)
        excluded: dict[str, set[str]] = {name: set() for name in self.labels}
        for name in self.labels:
            for other in self.terms[name].exclusive:
                for a, b in ((a, b) for a in below[name] for b in below.get(other, ())):
                    if not self.same_branch(a, b):
                        excluded[a].add(b)
                        excluded[b].add(a)
        return {name: frozenset(others) for name, others in excluded.items()}

    @cached_property
    def term_index(self) -> dict[str, int]:
        """The place of each term in the table."""
        return {name: i for i, name in enumerate(self.terms)}

    @cached_property
    def kinship(self) -> NDArray[np.int8]:
        """What each two terms are to each other: `EXCLUSIVE`, `ONE_BRANCH`, or 0.

        Shape: (terms + 1, terms + 1); the last row and column stand for what is no term.
        """
        places = self.term_index
        matrix = np.zeros((len(places) + 1, len(places) + 1), dtype=np.int8)
        for name, i in places.items():
            branch = [i, *(places[above] for above in self.ancestors[name])]
            matrix[i, branch] = matrix[branch, i] = ONE_BRANCH
        for name, others in self.exclusions.items():
            matrix[places[name], [places[other] for other in others]] = EXCLUSIVE
        return matrix

    def same_branch(self, a: str, b: str) -> bool:
        """Whether the two are one term, or one lies above the other."""
        return a == b or a in self.ancestors[b] or b in self.ancestors[a]

    def stated_labels(self, term: str) -> tuple[str, ...]:
        """The labels that a mention of the term states: itself, or the labels just above it."""
        return (term,) if self.terms[term].is_label else self.direct_parents[term]

    def expand(self, labels: Iterable[str]) -> frozenset[str]:
        """The labels and all their ancestors."""
        labels = frozenset(labels)
        return labels.union(*(self.ancestors[label] for label in labels))

    def conflicts(self, labels: Iterable[str]) -> list[tuple[str, str]]:
        """The exclusive pairs among labels, sorted."""
        pairs = combinations(sorted(set(labels)), 2)
        return [(a, b) for a, b in pairs if b in self.exclusions[a]]

    @cached_property
    def digest(self) -> str:
        """Changes when a label, phrase or relation does; independent of file and notes."""
        rows = [
            (t.name, t.is_label, sorted(t.parents), sorted(t.exclusive), sorted(t.phrases))
            for t in self.terms.values()
        ]
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def fold(phrase: str) -> str:
    """The phrase in lower case, hyphens as blanks, white space squeezed.

    Example:
        >>> fold("Ground-glass  Opacity")
        'ground glass opacity'
    """
    return " ".join(phrase.lower().replace("-", " ").split())


def _read_terms(path: Path) -> Iterator[Term]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Can't read the ontology {path}: {error}. Give a UTF-8 CSV.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = {PUBLISHED_COLUMNS.get(name, name) for name in reader.fieldnames or ()}
    missing = {"term", "class"} - columns
    if missing:
        raise InputError(
            f"{path} has no column {' and no '.join(sorted(missing))}. An ontology has the columns "
            "term, class, label, parents, exclusive, synonyms; see docs/ontology.md."
        )
    for raw in reader:
        cells = {PUBLISHED_COLUMNS.get(k, k): v or "" for k, v in raw.items() if isinstance(k, str)}
        yield _term(cells, reader.line_num)


def _term(cells: Mapping[str, str], row: int) -> Term:
    return Term(
        name=cells["term"].strip(),
        row=row,
        kind=cells["class"].strip(),
        is_label=cells.get("label", "yes").strip().lower() not in {"no", "0", "false"},
        parents=_split(cells.get("parents")),
        exclusive=_split(cells.get("exclusive")),
        synonyms=_split(cells.get("synonyms")),
        radlex_ids=_split(cells.get("radlex_id")),
        note=cells.get("note", "").strip(),
    )


def _split(cell: str | None) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(part.strip() for part in (cell or "").split(SEPARATOR) if part.strip())
    )


def _problems(terms: list[Term]) -> Iterator[str]:
    """Say what is wrong with the table, row by row."""
    rows: dict[str, Term] = {}
    owners: dict[str, Term] = {}
    for term in terms:
        if not term.name:
            yield f"row {term.row}: no term"
        elif term.name in rows:
            yield f"row {term.row}: '{term.name}' stands in row {rows[term.name].row} already"
        if term.kind not in CLASSES:
            yield f"row {term.row}: '{term.name}' has class '{term.kind}', not {', '.join(CLASSES)}"
        rows.setdefault(term.name, term)
    for term in terms:
        for what, names in (("parent", term.parents), ("exclusive term", term.exclusive)):
            for name in names:
                if name not in rows:
                    yield f"row {term.row}: '{term.name}' has the {what} '{name}', which has no row"
        for phrase in term.phrases:
            owner = owners.setdefault(fold(phrase), term)
            if owner.name != term.name:
                yield (
                    f"row {term.row}: '{phrase}' stands for '{term.name}' and, "
                    f"in row {owner.row}, for '{owner.name}'"
                )
    yield from _cycles(rows)


def _cycles(rows: Mapping[str, Term]) -> Iterator[str]:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            yield f"row {rows[name].row}: '{name}' is its own ancestor: {circle}"
        elif name in rows and name not in done:
            for parent in rows[name].parents:
                yield from visit(parent, (*path, name))
            done.add(name)

    for name in rows:
        yield from visit(name, ())


def _refusal(path: Path, problems: list[str]) -> str:
    count = "One problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n  ".join((f"{count} in the ontology {path}; correct the rows named:", *problems))
