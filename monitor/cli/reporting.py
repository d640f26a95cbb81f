"""`monitor report`: what was measured, as a page or a table."""

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from monitor import identity
from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_url,
    file_fault,
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
from monitor.worker import daily_spend, report_page

_SPAN: TypeAdapter[timedelta] = TypeAdapter(Duration)


def report(since: str, html_file: Path | None, png_file: Path | None) -> None:
    """Report on the span that ends now. With a file, that file is written instead of tables."""
    length = _length(since)
    settings = configuration(without_secrets=True)
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
        stop(file_fault(error, path), BAD_INPUT)
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
