"""Who holds locks on our tables and views, and the end of readers that hold up a migration."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

READER = "monitor_reader"
_HOLDERS = text("""
SELECT a.pid, coalesce(a.usename, '?') AS role, coalesce(a.application_name, '') AS program,
    extract(epoch FROM clock_timestamp() - min(a.xact_start))::double precision AS since_s
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
JOIN pg_class AS c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND c.relnamespace IN (SELECT oid FROM pg_namespace
                           WHERE nspname IN ('report', current_schema()))
GROUP BY a.pid, a.usename, a.application_name
ORDER BY a.pid
""")
_END = text("SELECT pg_terminate_backend(:pid)")


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A session that holds a lock; `since_s` is None where we may not see how long."""

    pid: int
    role: str
    program: str
    since_s: float | None

    def __str__(self) -> str:
        program = f", {self.program}" if self.program else ""
        since = "" if self.since_s is None else f", for {self.since_s:.0f} s"
        return f"session {self.pid} of {self.role}{program}{since}"


def lock_holders(engine: Engine) -> Sequence[LockHolder]:
    """The sessions that hold a lock on a table or view of ours at this moment, by their id."""
    with engine.begin() as connection:
        return [LockHolder(*row) for row in connection.execute(_HOLDERS)]


def end_readers(engine: Engine) -> None:
    """End sessions of monitor_reader that hold a lock, where we may: a report can be repeated."""
    for holder in lock_holders(engine):
        if holder.role == READER:
            try:
                with engine.begin() as connection:
                    connection.execute(_END, {"pid": holder.pid})
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != "42501":
                    raise
