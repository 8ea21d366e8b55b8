"""Pages and model cards: our templates, filled."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jinja2

_ENVIRONMENT: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """Fill a template; in HTML, what is filled in is escaped.

    Templates have the version of lesionary besides the values.
    """
    return _ENVIRONMENT.get_template(template).render(version=version("lesionary"), **values)
