"""The digest job on a real database: counted from rows and views, written once a day."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import Identity, Stamp
from monitor.jobs import digesting
from monitor.jobs.watch import Watch
from monitor.store import Database
from tests.contract.past import (
    EIGHT,
    TODAY,
    YESTERDAY,
    add,
    ask,
    asked,
    open_incident,
    roll,
    yesterday,
)
from tests.contract.watching import settings, watching

NINE = TODAY + timedelta(hours=9)


class Later(Watch):
    """A watch whose clock stands still, at some time of today."""

    at: datetime = NINE


async def told(database: Database) -> Sequence[dict[str, Any]]:
    return [row[0] for row in await ask(database, "SELECT notice FROM outbox WHERE status = 'NOTICE'")]


async def digest(
    database: Database, home: Path, monkeypatch: pytest.MonkeyPatch, *, now: datetime,
    **environ: str,
) -> bool:  # fmt: skip
    monkeypatch.setattr(Watch, "now", staticmethod(lambda: now))
    async with watching(settings(home, **environ), database) as watch:
        return await digesting.digest(watch)


async def test_a_day_is_told_from_what_was_stored(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(database, *yesterday())
    await open_incident(database)
    await roll(database)
    assert await digest(database, tmp_path, monkeypatch, now=YESTERDAY + timedelta(hours=13), MONITOR_DIGEST__AT="13:00")
    [notice] = await told(database)
    for line in (notice["sentence"], *notice["facts"].items()):
        print(line)
