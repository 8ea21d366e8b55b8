"""Model cards: Markdown templates, filled."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jinja2

_TEMPLATES: Final = Path(__file__).parent / "templates"


def render_card(template: str, **values: Any) -> str:
    """Fill a template; it has the version of lesionary besides the values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template(template).render(version=version("lesionary"), **values)
