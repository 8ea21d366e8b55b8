"""Reports as rows of a Parquet table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nlp.errors import InputError
from nlp.records import Rejected, Report
from nlp.sources.fields import FIELDS, Columns, check_columns, to_report


def recognises(path: Path, head: bytes, columns: Columns) -> bool:
    """Whether the file begins as Parquet does."""
    return head.startswith(b"PAR1")


def read(path: Path, columns: Columns, encoding: str) -> Iterator[Report | Rejected]:
    """Read some rows at a time, and only the columns that a report needs."""
    import pyarrow as pa
    from pyarrow import parquet

    row = 0
    try:
        with parquet.ParquetFile(path) as table:
            present = table.schema_arrow.names
            check_columns(path, present, columns)
            wanted = [c for c in (columns.get(name, name) for name in FIELDS) if c in present]
            for batch in table.iter_batches(batch_size=1000, columns=wanted):
                for record in batch.to_pylist():
                    row += 1
                    yield to_report(record, columns, file=str(path), line=row)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} can't be read as Parquet after row {row}; the file is damaged. Export it anew."
        ) from error
