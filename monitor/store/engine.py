"""Connections with deadlines on both sides: a frozen server must not freeze us.

They work behind a pooler that lends a server connection for one transaction only.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection as SyncConnection
from sqlalchemy import Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Connection = AsyncConnection  # what the functions of this room take

# Classes of SQLSTATE that mean "not now", whatever exception carries them: connection,
# read-only transaction, resources (disk full), operator intervention, system.
_AWAY = ("08", "25006", "53", "57", "58")
# A refused log-in carries no SQLSTATE through libpq: only its words tell it from silence.
_WRONG_ADDRESS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "invalid connection option",
)


_LONG_S = 1  # who refuses sooner may be asked again at once


class Away(Exception):
    """The database cannot serve us now. The sentence holds no secret.

    `final`: waiting will not help, the address itself is wrong.
    """

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Database:
    """A small pool; `begin` is the only way in.

    A server that let somebody wait is not asked again for `rest_s`: with a frozen one a round
    of probes would otherwise wait at every step, and be late.
    """

    def __init__(self, url: str, *, deadline_s: float = 15, rest_s: float = 15) -> None:
        self.deadline_s = deadline_s
        self._rest_s = rest_s
        self._resting: tuple[float, Away] | None = None  # until when, and why
        self.engine: AsyncEngine = create_async_engine(
            address(url),
            pool_size=2,
            max_overflow=1,
            pool_timeout=deadline_s,
            pool_pre_ping=True,
            connect_args=_CONNECTING,
        )
        _bound(self.engine.sync_engine, statement_timeout_s=10)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One transaction; commits at the end. Raises Away when the server cannot serve us."""
        began = time.monotonic()
        if self._resting is not None and began < self._resting[0]:
            raise self._resting[1]
        try:
            async with asyncio.timeout(self.deadline_s), self.engine.begin() as connection:
                yield connection
        except (TimeoutError, PoolTimeout):
            raise self._tired(Away(f"no answer within {self.deadline_s:g} s"), began) from None
        except DBAPIError as error:
            if away := unavailable(error):
                raise self._tired(away, began) from None
            raise

    def retry_now(self) -> None:
        """Ask the server again at the next `begin`, however recently it did not answer."""
        self._resting = None

    def _tired(self, away: Away, began: float) -> Away:
        now = time.monotonic()
        if now - began > _LONG_S:
            self._resting = now + self._rest_s, Away(f"{away} a moment ago", final=away.final)
        return away

    async def close(self) -> None:
        await self.engine.dispose()


def address(url: str) -> str:
    """Any Postgres address, as SQLAlchemy and psycopg 3 want it."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


def opened(url: str, *, statement_timeout_s: int = 10) -> Engine:
    """An engine for one errand: a connection of its own, closed after use."""
    engine = create_engine(address(url), poolclass=NullPool, connect_args=_CONNECTING)
    _bound(engine, statement_timeout_s=statement_timeout_s)
    return engine


# Nothing that a transaction pooler refuses or forgets: no prepared statements, and no `options`,
# which PgBouncer does not let through. Source: pgbouncer.org, ignore_startup_parameters
_CONNECTING: Mapping[str, Any] = {
    "connect_timeout": 3,
    "prepare_threshold": None,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "rag-monitor",
}


def _bound(engine: Engine, *, statement_timeout_s: int) -> None:
    """Give every transaction its deadlines and zone: a pooler's session is not ours to set."""
    settings = {
        "statement_timeout": f"{statement_timeout_s}s",
        "lock_timeout": "5s",
        "timezone": "UTC",
    }
    # These three are ours and hold no quote.
    each = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())

    @event.listens_for(engine, "begin")
    def begin(connection: SyncConnection) -> None:
        connection.exec_driver_sql(f"SELECT {each}")


def unavailable(error: DBAPIError) -> Away | None:
    """The server cannot serve us, or None when the statement itself is at fault."""
    state = getattr(error.orig, "sqlstate", None)
    words = str(error.orig).strip()
    why = words.splitlines()[0][:200] if words else "no answer"
    if state is None and isinstance(error, OperationalError | InterfaceError):
        return Away(why, final=any(sign in words for sign in _WRONG_ADDRESS))
    return Away(why) if state is not None and state.startswith(_AWAY) else None


def shown(url: str) -> str:
    """The address without its password."""
    return make_url(address(url)).render_as_string(hide_password=True)
