"""Errors of Postgres by SQLSTATE, settings of each transaction, and the connection pool.

Source: www.postgresql.org/docs/current/errcodes-appendix.html
"""

import asyncio
import re
import selectors
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from psycopg import AsyncConnection as DriverConnection
from psycopg.pq import TransactionStatus
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class Meaning(Enum):
    """What to do about an error. Everything but a bug is an expected failure."""

    BUG = "the statement or its data are at fault: raise it"
    BUSY = "a lock, a deadlock or a time limit: the server is well, try again later"
    UNAVAILABLE = "the server cannot serve us now"
    LOST = "the same, and no connection that is open to it may be used again"
    WRONG_ADDRESS = "waiting will not help: the address or the log-in is wrong"


# The longest matching prefix counts. Anything else is a bug.
_MEANINGS = {
    "08": Meaning.LOST,  # connection exception; poolers report a lost server as 08P01
    "25006": Meaning.LOST,  # read-only transaction: after a failover the server is a standby
    "25P03": Meaning.LOST,  # idle_in_transaction_session_timeout: we were suspended
    "25P04": Meaning.LOST,  # transaction_timeout
    "28": Meaning.WRONG_ADDRESS,  # invalid authorization
    "3D": Meaning.WRONG_ADDRESS,  # no such database
    "40": Meaning.BUSY,  # rolled back: serialization, deadlock, conflict with recovery
    "40002": Meaning.BUG,  # integrity constraint violation
    "53": Meaning.UNAVAILABLE,  # disk full, out of memory, too many connections
    "55006": Meaning.BUSY,  # object in use
    "55P03": Meaning.BUSY,  # lock not available
    "57": Meaning.UNAVAILABLE,  # operator intervention
    "57014": Meaning.BUSY,  # query canceled: statement_timeout
    "57P": Meaning.LOST,  # shutting down, crashed, starting up, database dropped, idle too long
    "58": Meaning.LOST,  # system error outside Postgres itself
    "F0": Meaning.LOST,  # its configuration file is at fault
    "XX": Meaning.LOST,  # internal error, data corrupted
}
# libpq reports no SQLSTATE for a refused login: only its message distinguishes it from silence.
_WRONG_ADDRESS = re.compile(
    "password authentication failed|no password supplied|no pg_hba.conf entry|does not exist"
    "|pg_hba.conf rejects connection|not permitted to log in|server does not support SSL"
    r"|invalid connection option|invalid \w+ value|invalid port number"
)


_FULL = re.compile("too many (clients|connections)|connection slots are reserved")


def meaning(error: DBAPIError) -> Meaning:
    """The meaning of an error of the server, or of the connection to it."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:
        if not isinstance(error, OperationalError | InterfaceError):
            return Meaning.BUG
        if _FULL.search(str(error.orig)):
            return Meaning.UNAVAILABLE  # what is open works
        wrong = _WRONG_ADDRESS.search(str(error.orig))
        return Meaning.WRONG_ADDRESS if wrong else Meaning.LOST
    known = (_MEANINGS.get(state[:length]) for length in (5, 3, 2))
    return next((found for found in known if found is not None), Meaning.BUG)


# Settings of each transaction: behind a pooler the session is not ours.
#
# A database, a role or a user can change the default of every setting here, and some of them change
# what a value means. So each transaction sets its own. Not pinned are
# `default_transaction_read_only`, which shows that nothing can be written, and settings that only
# affect speed.

IDLE_IN_TRANSACTION_S = 10  # below 20 s: a suspended worker's locks delay nobody for longer

# Values are ours and contain no quote.
_PINNED = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",  # psycopg parses no other
    "intervalstyle": "postgres",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "lc_numeric": "C",
    "lc_monetary": "C",
    "lc_time": "C",
    "row_security": "on",
}
# Unknown to older servers.
_PINNED_WHERE_KNOWN = {
    "restrict_nonsystem_relation_kind": "",
    "transaction_timeout": "0",
}
_SEARCH_PATH = '"$user", public'


def preamble(url: str, *, statement_timeout_s: int, idle_s: int = IDLE_IN_TRANSACTION_S) -> str:
    """The first statement of every transaction; its row says whether it may write (`on`, `off`)."""
    settings = _PINNED | {
        "statement_timeout": f"{statement_timeout_s}s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": f"{idle_s}s",
        "search_path": search_path(url),
    }
    each = [f"set_config('{name}', {_literal(value)}, true)" for name, value in settings.items()]
    each += [
        f"CASE WHEN current_setting('{name}', true) IS NOT NULL "
        f"THEN set_config('{name}', '{value}', true) END"
        for name, value in _PINNED_WHERE_KNOWN.items()
    ]
    return f"SELECT current_setting('transaction_read_only'), {', '.join(each)}"


def search_path(url: str) -> str:
    """The schemas that an address sets by `options=-csearch_path=...`; else Postgres' default."""
    options = make_url(url).query.get("options", "")
    text = " ".join(options) if isinstance(options, tuple) else options
    found = _SEARCH_PATH
    for word in re.split(r"(?<!\\)\s+", text.replace("-c ", "-c")):
        name, _, value = word.removeprefix("--").removeprefix("-c").partition("=")
        if name.replace("-", "_").lower() == "search_path" and value:
            found = re.sub(r"\\(.)", r"\1", value)
    return found


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


# Counted server connections: there are never more than a few, whatever is cancelled.
#
# SQLAlchemy's own pool loses count if a task is cancelled while it connects: the connection then
# lives until the garbage collector finds it, and collection is paused during rounds.


FULL_S = 2.0  # a server without room for another connection is asked again after this
OPEN_S = 10.0  # for a server that accepts a connection and then sends nothing
CANCEL_AGAIN_S = 0.5


class Driver(DriverConnection[Any]):
    """A connection of psycopg that cancels its statement until the server answers.

    A server ignores a request to cancel that arrives before the statement. psycopg sends only one,
    then closes the connection, and the server works on: a session more than the pool has seats.
    """

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        give_up_at = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.pgconn.socket, selectors.EVENT_READ)
            while (left_s := give_up_at - time.monotonic()) > 0:
                await super().cancel_safe(timeout=left_s)
                again_at = min(time.monotonic() + CANCEL_AGAIN_S, give_up_at)
                while time.monotonic() < again_at:
                    if selector.select(timeout=0):
                        return
                    await asyncio.sleep(0.02)


_DIALLED: ContextVar[list[Driver]] = ContextVar("dialled")  # by the task that connects


class ConnectionUnusable(Exception):
    """A connection was opened and cannot be used; the message says why."""


@dataclass(slots=True)
class ServerConnection:
    """One open server connection. `generation`: that of the pool when it was opened."""

    connection: AsyncConnection
    driver: Driver
    generation: int

    @property
    def idle(self) -> bool:
        return self.driver.info.transaction_status is TransactionStatus.IDLE

    async def end(self) -> None:
        """Close it at once, without a message to the server that could block."""
        self.driver.pgconn.finish()
        with suppress(Exception):
            await self.connection.invalidate()
        with suppress(Exception):
            await self.connection.close()


class ConnectionSeat:
    """The right to one server connection, held until that connection is idle or closed."""

    def __init__(self, pool: "ConnectionPool") -> None:
        self._pool = pool
        self._session: ServerConnection | None = None
        self._opening: asyncio.Task[ServerConnection] | None = None

    async def begun(self, preamble: str, *, writes: bool) -> AsyncConnection:
        """A connection in a new transaction. Raises ConnectionUnusable if it cannot do `writes`.

        A kept connection that turns out to be unusable is discarded with all others, and a new one
        is opened in its place. If the server has no room for one, another task's is waited for.
        """
        while True:
            self._pool.lent.discard(self)
            self._opening = None
            kept = self._pool.kept() or await self._pool.given_back()
            self._pool.lent.add(self)
            try:
                self._session = kept or await self._opened()
            except DBAPIError as error:
                self._pool.lent.discard(self)
                if self._pool.no_room(error):
                    continue
                raise
            connection = self._session.connection
            try:
                row = (await connection.exec_driver_sql(preamble)).one()
                if writes and row[0] == "on":  # after a failover the server may be a standby
                    raise ConnectionUnusable("the server is read-only")
            except (DBAPIError, ConnectionUnusable) as error:
                lost = isinstance(error, ConnectionUnusable) or meaning(error) is Meaning.LOST
                if lost:
                    await self._pool.discard()
                if not kept or not lost:
                    raise
                await self._session.end()
            else:
                return connection

    async def _opened(self) -> ServerConnection:
        """A new connection. Opening is never cancelled: the connection is closed afterwards."""
        self._opening = asyncio.create_task(self._pool.open())
        session = await asyncio.shield(self._opening)
        self._opening = None
        return session

    async def leave(self) -> None:
        """Keep the connection if its transaction is over, else close it; give the seat back."""
        if self._opening is not None:
            self._opening.add_done_callback(partial(self._pool.abandoned, self))
            return
        try:
            if self._session is not None and not self._pool.keep(self._session):
                await self._session.end()
        finally:
            self._pool.lent.discard(self)
            self._pool.vacate()


class ConnectionPool:
    """At most `size` connections to one server, kept open between transactions."""

    def __init__(self, engine: AsyncEngine, *, size: int) -> None:
        self._engine = engine
        self._seats = asyncio.Semaphore(size)
        self._kept: list[ServerConnection] = []
        self.lent: set[ConnectionSeat] = set()  # with a connection, or opening one
        self._changed = asyncio.Event()
        self._full_until = 0.0  # the server has no room for another connection (monotonic)
        self._generation = 0
        self._ending: set[asyncio.Task[None]] = set()

    async def take_seat(self, give_up_at: Callable[[], float] | None = None) -> None:
        """Wait for a seat, as long as it takes: that others are working is not a fault.

        `give_up_at`: a function for the deadline (monotonic), called again each time that passes.
        Raises TimeoutError.
        """
        while give_up_at is not None and self._seats.locked():
            left_s = give_up_at() - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._seats.acquire()
                    return
        await self._seats.acquire()

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[ConnectionSeat]:
        """The seat just taken; it is given back at the end."""
        seat = ConnectionSeat(self)
        try:
            yield seat
        finally:
            await seat.leave()

    async def open(self) -> ServerConnection:
        """Connect. Raises DBAPIError or Unusable."""
        connection, generation = self._engine.connect(), self._generation
        drivers: list[Driver] = []
        _DIALLED.set(drivers)
        try:
            async with asyncio.timeout(OPEN_S):
                await connection.start()
        except TimeoutError:
            for driver in drivers:
                driver.pgconn.finish()
            raise ConnectionUnusable(f"no answer within {OPEN_S} s of connecting") from None
        return ServerConnection(connection, drivers[-1], generation)

    def kept(self) -> ServerConnection | None:
        """An open connection, the last one used first."""
        return self._kept.pop() if self._kept else None

    def no_room(self, error: DBAPIError) -> bool:
        """Whether the server refused a connection for lack of room, while others are in use."""
        if not self.lent or not _FULL.search(str(error.orig)):
            return False
        self._full_until = time.monotonic() + FULL_S
        return True

    async def given_back(self) -> ServerConnection | None:
        """While the server has no room, the connection that another task gives back."""
        while self.lent and (left_s := self._full_until - time.monotonic()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
            if self._kept:
                return self._kept.pop()
        return None

    def keep(self, session: ServerConnection) -> bool:
        """Keep a connection for the next transaction; False if it is not fit for one."""
        fit = session.generation == self._generation and session.idle
        if fit:
            self._kept.append(session)
        return fit

    async def discard(self) -> None:
        """Discard every connection that is open now; those in use end afterwards."""
        self._generation += 1
        while self._kept:
            await self._kept.pop().end()

    def vacate(self) -> None:
        self._seats.release()
        self._changed.set()

    def abandoned(self, seat: ConnectionSeat, opening: asyncio.Task[ServerConnection]) -> None:
        """Close what was opened for a cancelled caller, and give the seat back."""
        self.lent.discard(seat)
        if not opening.cancelled() and opening.exception() is None:
            ending = asyncio.ensure_future(opening.result().end())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self.vacate()


async def dial(*arguments: Any, **options: Any) -> Driver:
    """Connect by psycopg, which has its own timeout and loses the socket when cancelled."""
    connecting = asyncio.create_task(_connected(*arguments, **options))
    try:
        driver = await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with suppress(Exception):
            (await connecting).pgconn.finish()
        raise
    _DIALLED.get().append(driver)
    return driver


async def _connected(*arguments: Any, **options: Any) -> Driver:
    try:
        return await Driver.connect(*arguments, **options)
    except Exception as error:
        # psycopg's frame holds the socket, and the error the frame: a cycle.
        raise error.with_traceback(None) from None
