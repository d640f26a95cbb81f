"""`monitor report`: tables on the terminal; one HTML page or one picture where asked for."""

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from monitor import identity, pricing
from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_url,
    private_file,
    stop,
    unreachable,
)
from monitor.config import Settings
from monitor.config.file_schema import Duration
from monitor.reports import PillowMissing, ReportPage, html_page, png
from monitor.reports.terminal import show
from monitor.storage import REVISION, Database, DatabaseUnavailable, SchemaUnknown, schema
from monitor.worker import daily_spend, report_page

_SPAN: TypeAdapter[timedelta] = TypeAdapter(Duration)


def report(since: str, html_file: Path | None, png_file: Path | None) -> None:
    """Report on the span that ends now. With a file, that file is written instead of tables."""
    length = _length(since)
    settings = configuration()
    gc.disable()  # a page is made of many small pieces, and all of them last as long as it does
    try:
        with database_url(settings) as url:
            try:
                page = fetched(settings, url, length)
            except DatabaseUnavailable as unavailable:
                stop(unreachable(settings, url, unavailable))
        if html_file is not None:
            write(html_file, html_page(page).encode("utf-8"))
        if png_file is not None:
            write(png_file, _picture(page))
        if html_file is None and png_file is None:
            show(page)
    finally:
        gc.freeze()  # nor is there anything to look for at the end
        gc.enable()


def written(url: str, path: Path, *, settings: Settings) -> None:
    """Write the page of everything a database holds: the demo's last word."""
    with private_file(path) as file:
        file.write(html_page(fetched(settings, url, None)).encode("utf-8"))


def fetched(settings: Settings, url: str, length: timedelta | None) -> ReportPage:
    """What `read` reads. A task that returns it would be put into words when the loop ends,
    page and all, for an error that is then not raised: half a second for a large one.
    """
    pages: list[ReportPage] = []

    async def fetch() -> None:
        pages.append(await read(settings, url, length))

    asyncio.run(fetch())
    return pages[0]


async def read(settings: Settings, url: str, length: timedelta | None) -> ReportPage:
    """The page of the span that ends now; of everything without a length. Raises Away.

    The spend of today is reckoned first, where our role may. Ends the command on a schema too old.
    """
    database = Database(url, deadline_s=60)
    try:
        found = await schema.revision(database)
        if not schema.fits(found):
            stop(
                f"the database is at revision {found or 'none'}, this program needs {REVISION}: "
                "run `monitor migrate`"
            )
        now, book = datetime.now(UTC), pricing.book(settings.file.prices, same=identity.same)
        await daily_spend.compute_recent_days(database, settings, book, now=now)
        return await report_page.page(database, settings, length=length, now=now)
    except SchemaUnknown as unknown:
        stop(str(unknown))
    finally:
        await database.close()


def write(path: Path, content: bytes) -> None:
    """Write a file and say so; ends the command where it cannot be written."""
    try:
        with private_file(path) as file:
            file.write(content)
    except OSError as error:
        stop(f"{path} cannot be written: {error.strerror}", BAD_INPUT)
    print(f"wrote {path} ({len(content):,} bytes)")  # noqa: T201


def _picture(page: ReportPage) -> bytes:
    """The chart of the first target that was asked."""
    requested = [watched for watched in page.targets if watched.ttft]
    try:
        return png(page, (requested or list(page.targets))[0])
    except PillowMissing as missing:
        stop(str(missing), BAD_INPUT)


def _length(since: str) -> timedelta:
    try:
        return _SPAN.validate_python(since)
    except ValidationError:
        stop(f'--since {since}: write a duration such as "24h", "7d" or "30d"', BAD_INPUT)
