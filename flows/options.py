"""What the commands share: types of paths, and how errors and progress are told."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

P = ParamSpec("P")
EXISTING = click.Path(exists=True, path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
IN_FILE = click.Path(exists=True, path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
IN_FOLDER = click.Path(exists=True, path_type=Path, file_okay=False)


def reports_input_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors that are written for the user into one message and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        from pipelines.errors import INPUT_ERRORS

        try:
            command(*args, **kwargs)
        except INPUT_ERRORS as error:
            raise click.ClickException(str(error)) from error

    return wrapped


def speaker(*, quiet: bool) -> Callable[[str], None]:
    """With --json, what is said goes to the error stream, so that the output is one object."""
    return lambda message: click.echo(message, err=quiet)
