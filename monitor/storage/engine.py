"""Connections with deadlines on both sides: a frozen server must not block the worker.

They work behind a pooler that lends a server connection for one transaction only.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from importlib.resources import files
from typing import Any, TypeVar

from sqlalchemy import Connection as SyncConnection
from sqlalchemy import Engine, NullPool, TextClause, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from monitor.storage.pool import (
    IDLE_IN_TRANSACTION_S,
    ConnectionPool,
    ConnectionUnusable,
    Meaning,
    dial,
    meaning,
    preamble,
)
from monitor.storage.running_timeout import STILL_S, TICK_S, RunningTimeout

Result = TypeVar("Result")
Connection = AsyncConnection  # what the functions of this room take

POOL_SIZE = 3


def sql(name: str) -> str:
    """The SQL of the file `name.sql` of this room."""
    return (files("monitor.storage") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def sql_file(name: str) -> TextClause:
    """The statement of the file `name.sql`, with its named parameters (`:since`)."""
    return text(sql(name))


# waiting time for a free connection within `short_waits` while no statement is answered
SEAT_S = 3.0
SILENT_S = 5.0  # a server that answers no statement for so long counts as unavailable
_SHORT_WAITS: ContextVar[bool] = ContextVar("short_waits", default=False)

_STOPPED = "this process was stopped for a while"
_LONG_S = 1.0  # after a faster refusal the next request may follow at once


@contextmanager
def short_waits() -> Iterator[None]:
    """For work that can continue without a database, such as a probe.

    Inside the block, a server that answers no statement while every connection is in use counts as
    unavailable after `SEAT_S` seconds: a frozen server would block a caller for much longer.
    """
    token = _SHORT_WAITS.set(True)
    try:
        yield
    finally:
        _SHORT_WAITS.reset(token)


class DatabaseUnavailable(Exception):
    """The database cannot be used now. The message contains no secret.

    `final`: waiting will not help, because the address itself is wrong. `state`: for messages.
    """

    state = "unavailable"

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class DatabaseBusy(DatabaseUnavailable):
    """The server is well, but a lock or a time limit stopped this transaction: try it again."""

    state = "busy"


class DatabaseRefused(DatabaseUnavailable):
    """Tables or rights are missing, as during a restore; the message has the remedy."""

    state = "refusing statements"


class ProcessStopped(DatabaseBusy):
    """This process was stopped during the transaction, and its failure may be due to that."""


class Database:
    """A small pool; `begin` is the only entry.

    A server that let a caller wait is not contacted again for `rest_s`: with a frozen one a round
    of probes would otherwise wait at every step and be late. With `writes`, for a worker, a
    read-only server counts as unavailable from the first statement on, and so does one that refuses
    a statement because tables or rights are missing. `closed`: why no transaction may begin yet;
    until then the database counts as unavailable for that reason.
    """

    def __init__(
        self, url: str, *, deadline_s: float = 15, rest_s: float = 5, writes: bool = False
    ) -> None:
        self.deadline_s = deadline_s
        self.closed: str | None = None
        self._rest_s = rest_s
        self._writes = writes
        self._resting: tuple[float, DatabaseUnavailable] | None = None  # until when, and why
        self._answered_at = time.monotonic()  # when the server last completed a statement
        self._gave_up_at = 0.0  # when a caller last waited in vain for a free connection
        self._preamble = preamble(url, statement_timeout_s=10)
        self.engine: AsyncEngine = create_async_engine(
            address(url),
            poolclass=NullPool,
            isolation_level=_ISOLATION,
            connect_args={**_CONNECTING, "async_creator_fn": dial},
        )
        self._pool = ConnectionPool(self.engine, size=POOL_SIZE)
        event.listen(self.engine.sync_engine, "after_cursor_execute", self._answered)

    @asynccontextmanager
    async def begin(
        self, *, deadline_s: float | None = None, even_closed: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """One transaction; commits at the end. Raises DatabaseUnavailable.

        The deadline begins with a free connection: waiting for our own transactions is not a fault
        of the server. It counts the time in which this process runs. Do not begin one inside
        another: that can block for ever.
        """
        if self.closed is not None and not even_closed:
            raise DatabaseUnavailable(self.closed)
        self._rest()
        await self._take_seat()
        async with self._pool.seat() as seat:
            self._rest()
            began, limit_s = time.monotonic(), deadline_s or self.deadline_s
            limit = RunningTimeout(limit_s)
            try:
                async with limit:
                    connection = await seat.begun(self._preamble, writes=self._writes)
                    try:
                        yield connection
                    except Exception:
                        await connection.rollback()
                        raise
                    await connection.commit()
            except TimeoutError:
                if not limit.expired:
                    raise
                raise self._judged(self._too_slow(limit_s, began), began, limit) from None
            except ConnectionUnusable as error:
                raise self._judged(DatabaseUnavailable(f"{error}"), began, limit) from None
            except DBAPIError as error:
                no_database = unavailable(error)
                if no_database is None:
                    if self._writes and (refusal := refused(error)):
                        raise refusal from None
                    raise
                if meaning(error) is Meaning.LOST:
                    await self._pool.discard()
                answered = getattr(error.orig, "sqlstate", None) is not None
                raise self._judged(no_database, began, limit, rest=not answered) from None

    async def _take_seat(self) -> None:
        """Wait for a free connection; within `short_waits` raise if the server is silent.

        After one caller gave up, nobody waits before the server has answered a statement again.
        """
        if not _SHORT_WAITS.get():
            await self._pool.take_seat()
            return
        asked_at = time.monotonic()

        def give_up_at() -> float:
            silent = self._gave_up_at > self._answered_at
            return asked_at if silent else max(asked_at, self._answered_at) + SEAT_S

        watch = RunningTimeout()
        try:
            async with watch:
                await self._pool.take_seat(give_up_at)
        except TimeoutError:
            if watch.stood_still:
                raise ProcessStopped(_STOPPED) from None
            self._gave_up_at = time.monotonic()
            raise DatabaseUnavailable(f"no statement was answered for {SEAT_S:g} s") from None

    async def answered(
        self, work: Coroutine[Any, Any, Result], *, at_least_s: float = _LONG_S
    ) -> Result:
        """The result of work that needs this database, unless the server falls silent.

        Raises DatabaseUnavailable if no statement is answered for `SILENT_S`, and from then on for
        `at_least_s`. The work is cancelled then, and not waited for: with a frozen server it takes
        ten seconds to cancel a statement.
        """
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        asked_at = looked_at = time.monotonic()
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=TICK_S)
                now, last = time.monotonic(), looked_at
                looked_at = now
                if now - last > STILL_S:  # this process was stopped: the answer may be there
                    asked_at = now
                known = self._gave_up_at > self._answered_at or self._rests
                silent_s = now - (asked_at if known else max(asked_at, self._answered_at))
                if not task.done() and silent_s > (at_least_s if known else SILENT_S):
                    self._gave_up_at = now
                    raise DatabaseUnavailable(f"no statement was answered for {silent_s:.0f} s")
            return await task
        finally:
            task.cancel()

    def _too_slow(self, limit_s: float, began: float) -> DatabaseUnavailable:
        """Why a transaction exceeded its deadline: the server is silent, or there is much to do.

        Work that can continue without the database does not try again.
        """
        answers = self._answered_at > max(began, time.monotonic() - SEAT_S)
        kind = DatabaseBusy if answers and not _SHORT_WAITS.get() else DatabaseUnavailable
        return kind(f"{'not finished' if answers else 'no answer'} within {limit_s:g} s")

    @property
    def _rests(self) -> bool:
        return self._resting is not None and time.monotonic() < self._resting[0]

    def _rest(self) -> None:
        if self._resting is not None and self._rests:
            raise self._resting[1]

    def _answered(self, *_: object) -> None:
        self._answered_at = time.monotonic()

    def retry_now(self) -> None:
        """Contact the server again at the next `begin`, however recently it did not answer."""
        self._resting = None

    def _judged(
        self,
        unavailable: DatabaseUnavailable,
        began: float,
        limit: RunningTimeout,
        *,
        rest: bool = True,
    ) -> DatabaseUnavailable:
        """The error to raise; and a rest, if the server has answered nothing for a while.

        If this process stood still, the failure may be its own: deadlines passed, or the server
        ended an idle transaction.
        """
        now = time.monotonic()
        if limit.stood_still and not unavailable.final:
            return ProcessStopped(f"{_STOPPED}: {unavailable}")
        if rest and now - max(began, self._answered_at) > _LONG_S:
            self._resting = (
                now + self._rest_s,
                DatabaseUnavailable(f"{unavailable} a moment ago", final=unavailable.final),
            )
        return unavailable

    async def close(self) -> None:
        await self._pool.discard()
        await self.engine.dispose()


def address(url: str) -> str:
    """Any Postgres address, in the form for SQLAlchemy and psycopg 3."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


def opened(url: str, *, statement_timeout_s: int = 10, idle_s: int = 60) -> Engine:
    """An engine for one task: its own connection, closed after use.

    `idle_s`: how long its transaction may wait for us, for example for a person's pipe.
    """
    engine = create_engine(
        address(url), poolclass=NullPool, isolation_level=_ISOLATION, connect_args=_CONNECTING
    )
    settings = preamble(url, statement_timeout_s=statement_timeout_s, idle_s=idle_s)

    @event.listens_for(engine, "begin")
    def begin(connection: SyncConnection) -> None:
        connection.exec_driver_sql(settings)

    return engine


_ISOLATION = "READ COMMITTED"  # sent with each BEGIN: a default of the server does not count

# Nothing that a transaction pooler refuses or forgets: no prepared statements, and no `options`,
# which PgBouncer rejects. Source: pgbouncer.org, ignore_startup_parameters
_CONNECTING: Mapping[str, Any] = {
    "connect_timeout": 3,
    "prepare_threshold": None,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "rag-monitor",
    "client_encoding": "UTF8",
}


async def limit_statements(
    connection: AsyncConnection,
    *,
    lock_s: float,
    statement_s: float,
    idle_s: float = IDLE_IN_TRANSACTION_S,
) -> None:
    """Limit how long statements of this transaction may wait for a lock and may run.

    `idle_s`: how long the server waits for the next one before it ends the transaction.
    """
    limits = {"lock": lock_s, "statement": statement_s, "idle": idle_s}
    milliseconds = {name: f"{seconds * 1000:.0f}" for name, seconds in limits.items()}
    await connection.execute(_LIMITS, milliseconds)


_LIMITS = text(
    "SELECT set_config('lock_timeout', :lock, true), "
    "set_config('statement_timeout', :statement, true), "
    "set_config('idle_in_transaction_session_timeout', :idle, true)"
)


def lost(error: Exception) -> bool:
    """Whether the connection is lost, so that its transaction cannot continue."""
    return isinstance(error, DBAPIError) and meaning(error) is Meaning.LOST


def unavailable(error: Exception) -> DatabaseUnavailable | None:
    """Why the server is unavailable; None if the statement itself is at fault."""
    if not isinstance(error, DBAPIError):
        return None
    message = str(error.orig).strip()
    reason = message.splitlines()[0][:200] if message else "no answer"
    match meaning(error):
        case Meaning.BUG:
            return None
        case Meaning.BUSY:
            return DatabaseBusy(reason)
        case kind:
            return DatabaseUnavailable(reason, final=kind is Meaning.WRONG_ADDRESS)


def refused(error: Exception) -> DatabaseRefused | None:
    """The refusal of a statement because tables or rights are missing; None for other errors."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    if state not in _INCOMPLETE:
        return None
    return DatabaseRefused(f"{explained(error)}", final=state in (_DENIED, _TOO_OLD))


def explained(error: Exception) -> str | None:
    """A database error in words, with the remedy; None for any other error."""
    if not isinstance(error, DBAPIError):
        return None
    state, lines = getattr(error.orig, "sqlstate", None), str(error.orig).strip().splitlines()
    message = lines[0][:200] if lines else "no reason was given"
    remedy = next((_REMEDIES[state[:n]] for n in (5, 2) if state and state[:n] in _REMEDIES), None)
    code = f" (SQLSTATE {state})" if state else ""
    return f"the database refused a statement{code}: {message}. {remedy or _ANY_REMEDY}"


_MIGRATE = "Run `monitor migrate`, or point DATABASE_URL at a database of rag-monitor"
_DENIED = "42501"  # insufficient privilege
_TOO_OLD = "42704"  # undefined object, such as a setting that the server does not know
# Also undefined table, column and function, no unique index for ON CONFLICT, wrong types.
_INCOMPLETE = {_DENIED, _TOO_OLD, "42P01", "42703", "42883", "42P10", "42809", "42804", "3F000"}
_ANY_REMEDY = "Check DATABASE_URL and the server's log"
_REMEDIES = {
    "42P01": _MIGRATE,  # undefined table
    "42703": _MIGRATE,  # undefined column
    "42883": _MIGRATE,  # undefined function
    "42P10": _MIGRATE,  # no unique index
    "42809": _MIGRATE,  # wrong object type
    "42804": _MIGRATE,  # datatype mismatch
    "3F": _MIGRATE,  # invalid schema name
    _DENIED: "Log in as monitor_writer, or as the owner of the schema; reports need monitor_reader",
    "25006": "Point DATABASE_URL at a server that takes writes",
    "22": "The database's encoding must be UTF8",
    "0A": "PostgreSQL 15 or newer is needed",
    _TOO_OLD: "PostgreSQL 15 or newer is needed",
    "42601": "PostgreSQL 15 or newer is needed",
}
