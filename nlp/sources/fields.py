"""From the fields of a record to a `Report`, whatever the format."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from nlp.errors import InputError
from nlp.records import Rejected, Report

REQUIRED: Final = ("report_id", "patient_id", "text")
FIELDS: Final = (*REQUIRED, "study_id", "lesion_ids")

Columns = Mapping[str, str]


class FieldError(Exception):
    """A field that makes a record unusable; the message quotes no value."""


def to_report(
    record: Mapping[str, object], columns: Columns, *, file: str, line: int
) -> Report | Rejected:
    """Check the fields of one record.

    Args:
        record: Field names and values as read.
        columns: What a field is called in this input, where the name differs from ours.
        file: Where the record stands, for messages.
        line: Its line, or its row in a table; from 1.
    """
    try:
        return Report(
            **{name: _text(record, name, columns) for name in REQUIRED},
            study_id=_text(record, "study_id", columns, required=False),
            lesion_ids=_names(record.get(columns.get("lesion_ids", "lesion_ids"))),
            file=file,
            line=line,
        )
    except FieldError as bad:
        return Rejected(file=file, line=line, reason=str(bad))


def check_columns(path: Path, present: Collection[str], columns: Columns) -> None:
    """Refuse a table that lacks a required column.

    Raises:
        InputError: Naming the missing columns, those that are there, and the option to use.
    """
    missing = [name for name in REQUIRED if columns.get(name, name) not in present]
    if missing:
        wanted = ", ".join(f"'{columns.get(name, name)}'" for name in missing)
        raise InputError(
            f"{path} has no column {wanted}. Its columns: {', '.join(present) or 'none'}. "
            f"Name the right one with --column {missing[0]}=NAME."
        )


def _text(
    record: Mapping[str, object], name: str, columns: Columns, *, required: bool = True
) -> str:
    column = columns.get(name, name)
    value = record.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if not required:
            return ""
        if column in record:
            raise FieldError(f"'{column}' is empty")
        known = ", ".join(sorted(map(str, record)))[:200]
        raise FieldError(f"no '{column}' (fields: {known}); name it with --column {name}=NAME")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FieldError(f"'{column}' is no text")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates stand for bytes that could not be decoded
        raise FieldError(f"'{column}' is not in the expected encoding; try --encoding") from None
    if required and not text.strip():
        raise FieldError(f"'{column}' is empty")
    return text if name == "text" else text.strip()


def _names(value: object) -> tuple[str, ...]:
    """Lesion ids from a list, a JSON list, or names joined with "|"."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return ()
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return tuple(part.strip() for part in value.split("|"))
        try:
            value = json.loads(value)
        except ValueError as error:
            raise FieldError("'lesion_ids' is a broken JSON list") from error
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FieldError("'lesion_ids' is no list of texts")
    return tuple(value)
