"""The tables of an ablation, and its page: from stored scores alone, nothing is trained.

Table 1 of Yan et al. (2019, arXiv:1904.04661) has the scores on one split, table 3 the mean and
standard deviation over random splits, each compared with the full model by a paired t-test.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pipelines.rendering import render
from pipelines.variants import FULL, VARIANTS
from vision.errors import InputError
from vision.run_folder import write_text

if TYPE_CHECKING:
    import pandas as pd

GIVEN: Final = "given"
METRICS: Final = {"auc": "AUC", "precision": "precision", "recall": "recall", "f1": "F1"}
LABELS: Final = {"mined": "mined labels", "gold": "gold labels"}
SIGNIFICANT: Final = 0.05
_COLUMNS: Final = ("variant", "split", "labels", *METRICS, "precision_zero", "labels_scored")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A score or the mean of some, None where there is none.

    `std` is the standard deviation over splits, `p` that of the comparison with the full model,
    `mark` best, worst or neither in its column.
    """

    value: float | None
    std: float | None = None
    p: float | None = None
    mark: str = ""

    @property
    def text(self) -> str:
        """The score with three digits, and what it deviates."""
        if self.value is None:
            return "–"
        return f"{self.value:.3f}" + ("" if self.std is None else f" ± {self.std:.3f}")

    @property
    def significance(self) -> str:
        """The p value, with an asterisk below `SIGNIFICANT`."""
        if self.p is None:
            return ""
        shown = "< 0.001" if self.p < 0.001 else f"= {self.p:.3f}"
        return f"p {shown}" + ("*" if self.p < SIGNIFICANT else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A variant in a table, and over how many splits."""

    name: str
    title: str
    group: str
    splits: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table: its columns in groups, (title, columns) each; `spread` if it is over splits."""

    title: str
    heads: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[Row, ...]
    spread: bool = False

    @property
    def groups(self) -> list[list[Row]]:
        """The rows, those of a group together."""
        return [list(rows) for _, rows in groupby(self.rows, key=lambda row: row.group)]


def write_tables(out: Path, names: Iterable[str] = ()) -> Path:
    """Write `ablation.md`, `ablation.html` and the CSVs from the results in a folder.

    Args:
        out: The folder of results.
        names: The variants to show besides those that have a result under their own name.

    Returns:
        The page.

    Raises:
        InputError: If there is no result, one can't be read, or a file can't be written.
    """
    scores = read_scores(out)
    own = {*names, *scores["variant"]}
    rows = [name for name in VARIANTS if name in own]
    tables = list(_tables(scores, rows))
    recipe = json.loads((out / "experiment.json").read_text(encoding="utf-8"))
    values = {"tables": tables, "experiment": recipe, "significant": SIGNIFICANT}
    write_text(out / "scores.csv", scores.to_csv(index=False))
    for number, chosen in (("1", tables[:1]), ("3", tables[1:])):
        text = _frame(chosen).to_csv(index=False) if chosen else None
        if text:
            write_text(out / f"table{number}.csv", text)
    write_text(out / "ablation.md", render("ablation.md", **values))
    differences = list(_differences(scores, rows))
    write_text(out / "ablation.html", render("ablation.html", differences=differences, **values))
    return out / "ablation.html"


def read_scores(out: Path) -> pd.DataFrame:
    """All stored scores: one row for each variant, split, and kind of labels.

    Raises:
        InputError: If there is none, or one can't be read.
    """
    import pandas as pd

    rows = [row for path in sorted((out / "results").glob("*/*.json")) for row in _rows_of(path)]
    if not rows:
        raise InputError(f"{out} holds no finished run, so there is nothing to show.")
    return pd.DataFrame(rows)


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        for labels in LABELS:
            if scores := result[labels]:
                row = result | scores | {"labels": labels}
                yield {name: row[name] for name in (*_COLUMNS, "lesions", "seconds")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} can't be read as the result of a run: {error}. Delete it and run the same "
            "command again."
        ) from error


def _tables(scores: pd.DataFrame, names: Sequence[str]) -> Iterator[Table]:
    """Table 1 on one split, and table 3 where there are several random ones."""
    splits = sorted(scores["split"].unique(), key=lambda split: (split != GIVEN, len(split), split))
    first, random = splits[0], [split for split in splits if split != GIVEN]
    kinds = [labels for labels in LABELS if labels in set(scores["labels"])]
    where = "the given split" if first == GIVEN else f"random split {first}"
    yield _table(f"Scores on {where}", scores[scores["split"] == first], names, kinds, spread=False)
    if len(random) > 1:
        for labels in kinds:
            chosen = scores[(scores["split"] != GIVEN) & (scores["labels"] == labels)]
            title = (
                f"Mean and standard deviation over {len(random)} random splits, {LABELS[labels]}"
            )
            yield _table(title, chosen, names, [labels], spread=True)


def _table(
    title: str, scores: pd.DataFrame, names: Sequence[str], kinds: Sequence[str], *, spread: bool
) -> Table:
    rows = []
    for name in names:
        cells = [
            _cell(_by_split(scores, name, kind, metric), _by_split(scores, FULL, kind, metric))
            if spread
            else _single(_by_split(scores, name, kind, metric))
            for kind in kinds
            for metric in METRICS
        ]
        variant, known = VARIANTS[name], scores[scores["variant"] == _source(name)]
        if len(known):
            rows.append(
                Row(
                    name=name,
                    title=variant.title,
                    group=variant.group,
                    splits=known["split"].nunique(),
                    cells=tuple(cells),
                )
            )
    heads = tuple((LABELS[kind], tuple(METRICS.values())) for kind in kinds)
    return Table(title=title, heads=heads, rows=tuple(_marked(rows)), spread=spread)


def _source(name: str) -> str:
    """Under which name the result of a variant is stored."""
    return VARIANTS[name].same_as or name


def _by_split(scores: pd.DataFrame, name: str, labels: str, metric: str) -> pd.Series[float]:
    """A score of a variant, by split; those that could not be scored are left out."""
    chosen = scores[(scores["variant"] == _source(name)) & (scores["labels"] == labels)]
    return cast("pd.Series[float]", chosen.set_index("split")[metric].astype(float).dropna())


def _single(values: pd.Series[float]) -> Cell:
    return Cell(value=float(values.iloc[0]) if len(values) else None)


def _cell(values: pd.Series[float], full: pd.Series[float]) -> Cell:
    """Mean, standard deviation (n - 1), and the paired comparison with the full model."""
    if not len(values):
        return Cell(value=None)
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return Cell(value=float(values.mean()), std=std, p=paired_p(values, full))


def paired_p(values: pd.Series[float], others: pd.Series[float]) -> float | None:
    """The p value of a two-sided paired t-test over the splits that both have.

    None where it is undefined: fewer than two splits, or the same difference on each.
    """
    from scipy.stats import ttest_rel

    differences = (values - others).dropna()
    if len(differences) < 2 or differences.round(12).nunique() == 1:
        return None
    both = differences.index
    return float(ttest_rel(values[both], others[both]).pvalue)


def _marked(rows: Sequence[Row]) -> Iterator[Row]:
    """Mark the best and the worst of each column, as they are shown; equals are marked alike."""
    columns = list(zip(*(row.cells for row in rows), strict=True))
    shown = [[round(c.value, 3) for c in column if c.value is not None] for column in columns]
    for row in rows:
        cells = []
        for cell, values in zip(row.cells, shown, strict=True):
            mark = ""
            if cell.value is not None and min(values) < max(values):
                place = round(cell.value, 3)
                mark = "best" if place == max(values) else "worst" if place == min(values) else ""
            cells.append(replace(cell, mark=mark))
        yield replace(row, cells=tuple(cells))


def _frame(tables: Sequence[Table]) -> pd.DataFrame:
    """Tables as one CSV: a row for each variant and kind of labels."""
    import pandas as pd

    rows = []
    for table in tables:
        for row in table.rows:
            for place, (labels, _) in enumerate(table.heads):
                cells = row.cells[place * len(METRICS) : (place + 1) * len(METRICS)]
                values: dict[str, Any] = {"variant": row.name, "labels": labels}
                for metric, cell in zip(METRICS, cells, strict=True):
                    values |= {metric: cell.value}
                    if table.spread:
                        values |= {f"{metric}_std": cell.std, f"{metric}_p": cell.p}
                rows.append(values | {"splits": row.splits})
    return pd.DataFrame(rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How a variant's scores differ from the full model's, on each split and on average."""

    title: str
    metric: str
    values: tuple[float, ...]
    mean: float


def _differences(scores: pd.DataFrame, names: Sequence[str]) -> Iterator[Difference]:
    mined = scores[scores["split"] != GIVEN]
    for metric in ("auc", "f1"):
        full = _by_split(mined, FULL, "mined", metric)
        for name in names:
            values = (_by_split(mined, name, "mined", metric) - full).dropna()
            if _source(name) != FULL and len(values) > 1:
                yield Difference(
                    title=VARIANTS[name].title,
                    metric=METRICS[metric],
                    values=tuple(map(float, values)),
                    mean=float(values.mean()),
                )
