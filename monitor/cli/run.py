"""`monitor run`: the worker, from configuration to a clean stop."""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from monitor import __version__, identity
from monitor.cli import startup
from monitor.cli.startup import configuration, database_url, stop, unreachable
from monitor.config import Settings
from monitor.metrics import Metrics
from monitor.network_settings import looking_up_names
from monitor.pricing.book import price_book
from monitor.probing.client import ProbeClient
from monitor.storage import REVISION, Database, DatabaseUnavailable, SchemaUnknown, schema
from monitor.storage.spool import Spool, SpoolFile
from monitor.worker.context import WorkerContext, WorkerState
from monitor.worker.reload import counters
from monitor.worker.scheduler import Worker
from monitor.worker.status_pages import StatusPages

OTHER_FILES = 256  # that a worker may have open besides the connections of its probes
# With 5 ms, as usual, an evaluation waits so long for each of its answers from the database while
# another thread works, such as the one that writes a page of `/metrics`.
THREAD_TURN_S = 0.001
END_S = 2.0  # for tasks that are cancelled at the end
SCHEMA_WAIT_S = 120  # a release command may still be migrating

log = logging.getLogger(__name__)


def run(log_format: str | None = None) -> None:
    """Schedule, probe, evaluate and deliver until SIGINT or SIGTERM.

    `log_format`: `text` or `json`; None: text if standard error is a terminal.
    """
    settings = configuration()
    _allow_files(2 * settings.file.probes.max_concurrent + OTHER_FILES)
    people = sys.stderr.isatty() if log_format is None else log_format == "text"
    startup.begin(settings.environment.log_level, settings.secrets, people=people)
    with database_url(settings) as url:
        run_async(work(settings, url))


def _allow_files(count: int) -> None:
    """Raise the limit of open files, as far as we may: every probe has a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if resource.RLIM_INFINITY != soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def run_async(main: Coroutine[Any, Any, None]) -> None:
    """Run with uvloop if it is installed: a tenth less CPU, otherwise the same."""
    kind: type[asyncio.AbstractEventLoop]
    try:
        from uvloop import Loop

        kind = Loop
    except ImportError:
        kind = asyncio.SelectorEventLoop
    with asyncio.Runner(loop_factory=looking_up_names(kind)) as runner:
        runner.run(_whole(main))


async def _whole(main: Coroutine[Any, Any, None]) -> None:
    try:
        await main
    finally:
        await _end_tasks()


async def work(settings: Settings, url: str) -> None:
    """Open the connections, run, and close them in reverse order. A signal ends each step.

    If the database cannot be reached, the worker probes and spools until it can.
    """
    sys.setswitchinterval(THREAD_TURN_S)
    database, leaving = Database(url, writes=True), asyncio.Event()
    try:
        if not await _ready(database, settings, url, leaving):
            return
        async with AsyncExitStack() as edges:
            wire = await edges.enter_async_context(ProbeClient(__version__))
            context = worker_context(settings, database, wire, leaving)
            pages = StatusPages(context)
            await _serve_metrics(edges, context, pages)
            worker = Worker(context, configured=partial(_configured, pages))
            connecting = asyncio.create_task(_connect(worker, url))
            await worker.live()
            connecting.cancel()
            with suppress(asyncio.CancelledError):
                if failed := await connecting:
                    raise failed
    finally:
        await database.close()


async def _end_tasks() -> None:
    """Cancel what still runs, again and again: psycopg first waits for a frozen server."""
    until_s = time.monotonic() + END_S
    while (rest := asyncio.all_tasks() - {asyncio.current_task()}) and time.monotonic() < until_s:
        for task in rest:
            task.cancel()
        await asyncio.wait(rest, timeout=0.2)


async def _ready(database: Database, settings: Settings, url: str, leaving: asyncio.Event) -> bool:
    """Wait for the schema, unless the server cannot be reached: then the database stays closed.

    False if a signal came first, which sets `leaving`.
    """
    loop, scope = asyncio.get_running_loop(), asyncio.timeout(None)

    def leave() -> None:
        if not leaving.is_set():
            leaving.set()
            scope.reschedule(loop.time())

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave)
    try:
        async with scope:
            await _wait_for_schema(database, settings, url)
    except DatabaseUnavailable as unavailable:
        database.closed = str(unavailable)
        startup.say(f"probing without the database: {unreachable(settings, url, unavailable)}")
    except TimeoutError:
        if not leaving.is_set():
            raise
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leaving.set)
    if leaving.is_set():
        log.info("start cancelled")
    return not leaving.is_set()


async def _serve_metrics(edges: AsyncExitStack, context: WorkerContext, pages: StatusPages) -> None:
    served = context.settings.file.metrics
    edges.push_async_callback(pages.close)
    try:
        await edges.enter_async_context(
            context.metrics.serving(served.host, served.port, pages.answer)
        )
    except OSError as error:
        stop(
            f"metrics.port = {served.port}: {error.strerror}; choose another port, "
            "or remove the setting"
        )


def worker_context(
    settings: Settings, database: Database, wire: ProbeClient, leaving: asyncio.Event
) -> WorkerContext:
    """The connections and state of the worker in one object."""
    environment = settings.environment
    return WorkerContext(
        settings=settings,
        database=database,
        client=wire,
        book=price_book(settings.file.prices, same=identity.same),
        channels={name: channel.opened() for name, channel in settings.channels.items()},
        metrics=Metrics(
            settings.targets.values(),
            rules=settings.rules,
            channels=settings.channels,
            most_targets=settings.file.metrics.targets,
            version=__version__,
            region=environment.fly_region,
            config_hash=settings.config_hash,
        ),
        region=environment.fly_region,
        worker=environment.fly_machine_id or f"{socket.gethostname()}-{os.getpid()}",
        counters=counters(settings),
        state=WorkerState(
            leaving=leaving, spool=Spool(file=SpoolFile(environment.monitor_home / "spool"))
        ),
    )


def _configured(pages: StatusPages, context: WorkerContext) -> None:
    """Apply a configuration that was reloaded."""
    startup.redact_also(context.settings.secrets)
    pages.context = context


async def _connect(worker: Worker, url: str) -> BaseException | None:
    """Open a closed database once it can be reached and its schema fits.

    If waiting cannot help, the worker stops; returns the error that ends the program.
    """
    context, database = worker.context, worker.context.database
    while database.closed is not None:
        await asyncio.sleep(1)
        try:
            await _wait_for_schema(database, context.settings, url)
        except DatabaseUnavailable as unavailable:
            database.closed = str(unavailable)
        except (SystemExit, Exception) as end:
            context.state.leaving.set()
            return end
        else:
            database.closed = None
            log.info("database reached", extra={"waiting": len(context.state.spool)})
            await worker.use_database()
    return None


async def _wait_for_schema(database: Database, settings: Settings, url: str) -> None:
    """Return when the schema fits; end the program with the reason if it never will.

    Raises DatabaseUnavailable if the server cannot be reached, except for a wrong address.
    """
    begun: float | None = None
    while True:
        try:
            found = await schema.revision(database)
            if schema.fits(found):
                return
        except SchemaUnknown as unknown:
            stop(str(unknown))
        except DatabaseUnavailable as unavailable:
            if unavailable.final:
                stop(unreachable(settings, url, unavailable))
            raise
        if settings.environment.database_url is None:
            await _migrate_apart(url)  # the embedded database: no other program migrates it
            continue
        reason = (
            f"the database is at revision {found or 'none'}, this program needs {REVISION}: "
            "run `monitor migrate`"
        )
        if begun is None:
            begun = time.monotonic()
            startup.say(f"waiting up to {SCHEMA_WAIT_S} s: {reason}")
            if database.closed is not None:
                database.closed = reason
        if time.monotonic() - begun > SCHEMA_WAIT_S:
            stop(reason)
        await asyncio.sleep(1)


async def _migrate_apart(url: str) -> None:
    """Migrate in a separate process: a migration needs more memory than the whole worker."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "monitor",
        "migrate",
        env={**os.environ, "DATABASE_URL": url},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        reported, _ = await child.communicate()
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    text = reported.decode(errors="replace").strip()
    if child.returncode:
        stop(text)
    log.info("schema migrated", extra={"said": text})
