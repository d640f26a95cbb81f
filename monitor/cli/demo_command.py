"""`monitor demo`: plays a whole incident with the real worker on a database of its own."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from monitor.cli.startup import BAD_INPUT, stop
from monitor.config import load
from monitor.demo.story import play
from monitor.embedded_postgres import EmbeddedPostgresError, running
from monitor.storage.report_queries import read_only_rows


def demo(*, html: Path | None, keep: bool) -> None:
    """Play the scenario; exit 0 if it was completed."""
    from rich.console import Console

    if html is not None:
        _writable(html)
    show = Console(highlight=False)
    with ExitStack() as edges:
        home = Path(edges.enter_context(tempfile.TemporaryDirectory(prefix="rag-monitor-")))
        home.chmod(0o711)  # a server that had to change its user must be able to read its data
        try:
            server = edges.enter_context(running(home))
        except EmbeddedPostgresError as fault:
            stop(str(fault))

        def query(statement: str) -> Sequence[tuple[Any, ...]]:
            return read_only_rows(server.url, statement)

        def page() -> Path:
            from monitor.cli.reporting import written

            path = (html or Path()).absolute()
            written(server.url, path, settings=load({"MONITOR_CONFIG": str(home / "monitor.toml")}))
            return path

        status = play(
            home, keep=keep, show=show, query=query, psql=server.psql, page=page if html else None
        )
    raise SystemExit(status)


def _writable(path: Path) -> None:
    """Check the output file now, not after the scenario; ends the command if it is not writable."""
    fresh = not path.exists()
    try:
        with path.open("ab"):
            pass
        if fresh:
            path.unlink()
    except OSError as error:
        stop(f"--html {path}: {error.strerror}; name a file that can be written", BAD_INPUT)
