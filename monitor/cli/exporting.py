"""`monitor export`: observations for spreadsheets, programs and data frames, streamed."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO
from uuid import UUID

from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_url,
    private_file,
    stop,
    unreachable,
)
from monitor.storage import DatabaseUnavailable
from monitor.storage.report_queries import ExportStream, observed

Format = Literal["csv", "jsonl", "parquet"]

# Spreadsheets run text that starts like this as a formula; the full-width characters apply to
# Japanese settings. Source: owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def export(since: timedelta, form: Format, out: Path | None) -> None:
    """Write every observation since a time to a file, or to standard output."""
    if form == "parquet" and out is None and sys.stdout is not None and sys.stdout.isatty():
        stop("parquet is binary: name a file with --out, or redirect the output", BAD_INPUT)
    write = _WRITERS[form]()
    settings = configuration(without_secrets=True)
    with database_url(settings) as url:
        try:
            with observed(url, since) as stream, _opened(out) as file:
                count = write(stream, file)
        except DatabaseUnavailable as unavailable:
            stop(unreachable(settings, url, unavailable))
    print(f"{count} observations", file=sys.stderr)  # noqa: T201


@contextmanager
def _opened(out: Path | None) -> Iterator[BinaryIO]:
    """The file, complete or not at all: it gets its name when everything is written."""
    if out is None:
        if sys.stdout is None:
            stop("standard output is closed: name a file with --out", BAD_INPUT)
        yield sys.stdout.buffer
        return
    if out.exists() and not out.is_file():  # a pipe or a device cannot be replaced by renaming
        with private_file(out) as file:
            yield file
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with private_file(part, becomes=out) as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _csv() -> Callable[[ExportStream, BinaryIO], int]:
    def write(stream: ExportStream, file: BinaryIO) -> int:
        count = 0
        with _texts(file) as text:
            rows = csv.writer(text)
            rows.writerow(stream.names)
            for page in stream.pages:
                rows.writerows([_cell(value) for value in row] for row in page)
                count += len(page)
        return count

    return write


def _jsonl() -> Callable[[ExportStream, BinaryIO], int]:
    def write(stream: ExportStream, file: BinaryIO) -> int:
        count = 0
        for page in stream.pages:
            lines = (
                json.dumps(dict(zip(stream.names, row, strict=True)), default=_plain)
                for row in page
            )
            file.write("".join(f"{line}\n" for line in lines).encode())
            count += len(page)
        return count

    return write


@contextmanager
def _texts(file: BinaryIO) -> Iterator[TextIO]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        yield text
    finally:
        text.detach()


def _parquet() -> Callable[[ExportStream, BinaryIO], int]:
    parquet = ParquetColumns()

    def write(stream: ExportStream, file: BinaryIO) -> int:
        fields, count = parquet.fields(stream.names, stream.types), 0
        with parquet.files.ParquetWriter(file, parquet.arrow.schema(fields)) as writer:
            for page in stream.pages:
                writer.write_batch(parquet.batch(fields, page))
                count += len(page)
        return count

    return write


class ParquetColumns:
    """Rows of Postgres as columns of Parquet, with exact numbers and instants in UTC.

    pyarrow is an optional part: without it, the command ends and says how to install it.
    """

    def __init__(self) -> None:
        try:
            self.arrow: Any = import_module("pyarrow")
            self.files: Any = import_module("pyarrow.parquet")
        except ImportError:
            stop(
                'parquet needs pyarrow, which is an extra: pip install "rag-monitor[parquet]", in '
                "a clone ./run install; csv and jsonl work without it",
                BAD_INPUT,
            )
        pa = self.arrow
        self._kinds = {
            "timestamp with time zone": pa.timestamp("us", "UTC"),
            "double precision": pa.float64(),
            "integer": pa.int32(),
            "smallint": pa.int16(),
            "boolean": pa.bool_(),
            "numeric": pa.decimal128(20, 12),
            "text[]": pa.list_(pa.string()),
        }

    def fields(self, names: Sequence[str], types: Sequence[str]) -> list[Any]:
        """A field for each column; a type without a counterpart becomes text."""
        text = self.arrow.string()
        return [
            self.arrow.field(name, self._kinds.get(kind, text))
            for name, kind in zip(names, types, strict=True)
        ]

    def batch(self, fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Any:
        """At least one row, as a record batch."""
        text = self.arrow.string()
        columns = [
            self.arrow.array([_arrow(value, field.type == text) for value in values], field.type)
            for field, values in zip(fields, zip(*rows, strict=True), strict=True)
        ]
        return self.arrow.record_batch(columns, schema=self.arrow.schema(fields))


_WRITERS: dict[Format, Callable[[], Callable[[ExportStream, BinaryIO], int]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
}


def _cell(value: Any) -> str:
    """A cell of a spreadsheet: empty for NULL; text that looks like a formula is made harmless."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case Decimal():
            return _plain(value)
        case dict() | list():
            return _guarded(json.dumps(value, default=_plain))
        case _:
            return _guarded(_plain(value))


def _guarded(text: str) -> str:
    """Leading blanks do not make a formula harmless: some programs remove them."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


def _plain(value: Any) -> str:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case UUID() | str():
            return str(value)
    raise TypeError(f"cannot export values of type {type(value).__name__}")


def _arrow(value: Any, as_text: bool) -> Any:
    if value is None or not as_text or isinstance(value, str):
        return value
    return json.dumps(value, default=_plain) if isinstance(value, dict | list) else _plain(value)
