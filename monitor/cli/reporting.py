"""`monitor report` and `monitor export`: measurements as a page, a table or rows."""

import asyncio
import csv
import gc
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from monitor import identity
from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_url,
    private_file,
    stop,
    unreachable,
)
from monitor.config import Settings
from monitor.config.value_kinds import Duration
from monitor.pricing.book import price_book
from monitor.reports.page_data import ReportPage
from monitor.reports.terminal import show
from monitor.storage import REVISION, Database, DatabaseUnavailable, SchemaUnknown, schema
from monitor.storage.report_queries import ExportStream, observed
from monitor.worker import daily_spend, report_page

# `monitor report`: tables on the terminal, or one HTML page or picture.


_SPAN: TypeAdapter[timedelta] = TypeAdapter(Duration)


def report(since: str, html_file: Path | None, png_file: Path | None) -> None:
    """Report on the span that ends now. With a file, that file is written instead of tables."""
    length = _length(since)
    settings = configuration()
    gc.disable()  # a page has many small objects, and all of them exist until its end
    try:
        with database_url(settings) as url:
            try:
                page = fetched(settings, url, length)
            except DatabaseUnavailable as unavailable:
                stop(unreachable(settings, url, unavailable))
        if html_file is not None:
            from monitor.reports.html import html_page

            write(html_file, html_page(page).encode("utf-8"))
        if png_file is not None:
            write(png_file, _picture(page))
        if html_file is None and png_file is None:
            show(page)
    finally:
        gc.freeze()  # nor is there garbage to collect at the end
        gc.enable()


def written(url: str, path: Path, *, settings: Settings) -> None:
    """Write the page of everything in a database, for the demo."""
    from monitor.reports.html import html_page

    with private_file(path) as file:
        file.write(html_page(fetched(settings, url, None)).encode("utf-8"))


def fetched(settings: Settings, url: str, length: timedelta | None) -> ReportPage:
    """What `read` reads.

    If a task returned it, the loop's end would format the whole page for an error that is not
    raised: half a second for a large one.
    """
    pages: list[ReportPage] = []

    async def fetch() -> None:
        pages.append(await read(settings, url, length))

    asyncio.run(fetch())
    return pages[0]


async def read(settings: Settings, url: str, length: timedelta | None) -> ReportPage:
    """The page of the span that ends now; without a length, of everything.

    Raises DatabaseUnavailable. Today's spend is computed first if the role allows it. Ends the
    command if the schema is too old.
    """
    database = Database(url, deadline_s=60)
    try:
        found = await schema.revision(database)
        if not schema.fits(found):
            stop(
                f"the database is at revision {found or 'none'}, this program needs {REVISION}: "
                "run `monitor migrate`"
            )
        now, book = datetime.now(UTC), price_book(settings.file.prices, same=identity.same)
        await daily_spend.compute_recent_days(database, settings, book, now=now)
        return await report_page.page(database, settings, length=length, now=now)
    except SchemaUnknown as unknown:
        stop(str(unknown))
    finally:
        await database.close()


def write(path: Path, content: bytes) -> None:
    """Write a file and print its name; ends the command if it cannot be written."""
    try:
        with private_file(path) as file:
            file.write(content)
    except OSError as error:
        stop(f"{path} cannot be written: {error.strerror}", BAD_INPUT)
    print(f"wrote {path} ({len(content):,} bytes)")  # noqa: T201


def _picture(page: ReportPage) -> bytes:
    """The chart of the first requested target."""
    from monitor.reports.picture import PictureFailed, png

    requested = [watched for watched in page.targets if watched.ttft]
    try:
        return png(page, (requested or list(page.targets))[0])
    except PictureFailed as failed:
        stop(str(failed))


def _length(since: str) -> timedelta:
    try:
        return _SPAN.validate_python(since)
    except ValidationError:
        stop(f'--since {since}: write a duration such as "24h", "7d" or "30d"', BAD_INPUT)


# `monitor export`: observations for spreadsheets, programs and data frames, streamed.


Format = Literal["csv", "jsonl", "parquet"]

# Spreadsheets run text that starts like this as a formula; the full-width characters apply to
# Japanese settings. Source: owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def export(since: timedelta, form: Format, out: Path | None) -> None:
    """Write every observation since a time to a file, or to standard output."""
    if form == "parquet" and out is None and sys.stdout is not None and sys.stdout.isatty():
        stop("parquet is binary: name a file with --out, or redirect the output", BAD_INPUT)
    write = _WRITERS[form]()
    settings = configuration()
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
        with private_file(part) as file:
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
    try:
        pa = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        stop(
            'parquet needs pyarrow, which is an extra: pip install "rag-monitor[parquet]", in a '
            "clone ./run install; csv and jsonl work without it",
            BAD_INPUT,
        )
    kinds = {
        "timestamp with time zone": pa.timestamp("us", "UTC"),
        "double precision": pa.float64(),
        "integer": pa.int32(),
        "smallint": pa.int16(),
        "boolean": pa.bool_(),
        "numeric": pa.decimal128(20, 12),
        "text[]": pa.list_(pa.string()),
    }

    def write(stream: ExportStream, file: BinaryIO) -> int:
        fields = [
            pa.field(name, kinds.get(kind, pa.string()))
            for name, kind in zip(stream.names, stream.types, strict=True)
        ]
        schema, count = pa.schema(fields), 0
        with parquet.ParquetWriter(file, schema) as writer:
            for page in stream.pages:
                columns = [
                    pa.array(
                        [_arrow(value, field.type == pa.string()) for value in values], field.type
                    )
                    for field, values in zip(schema, zip(*page, strict=True), strict=True)
                ]
                writer.write_table(pa.table(columns, schema=schema))
                count += len(page)
        return count

    return write


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
