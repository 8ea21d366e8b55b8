"""Tables as Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def markdown_table(table: pd.DataFrame) -> str:
    """A table with its index as Markdown; numbers to the right, with three decimals if not whole.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"n": [1200], "f1": [0.25]}, index=pd.Index(["cyst"], name="label"))
        >>> print(markdown_table(table), end="")
        | label | n | f1 |
        | --- | ---: | ---: |
        | cyst | 1,200 | 0.250 |
    """
    numeric = [table[name].dtype.kind in "iuf" for name in table]
    lines = [
        _line([table.index.name or "", *(name.replace("_", " ") for name in table)]),
        _line(["---", *("---:" if right else "---" for right in numeric)]),
        *(_line(map(_cell, row)) for row in table.itertuples()),
    ]
    return "\n".join((*lines, ""))


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
