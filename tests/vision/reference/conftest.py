"""Numbers of the reference implementation; LESIONARY_REFERENCE_NUMBERS names their folder."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def numbers() -> Callable[[str], Any]:
    """Read a file of reference numbers; skip where there is none."""

    def read(name: str) -> Any:
        folder = os.environ.get("LESIONARY_REFERENCE_NUMBERS")
        if not folder or not (path := Path(folder) / f"{name}.json").exists():
            pytest.skip("LESIONARY_REFERENCE_NUMBERS names no folder with these numbers")
        return json.loads(path.read_text(encoding="utf-8"))

    return read
