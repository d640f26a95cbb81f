"""Thinning out on a real database: which slots are asked while a fallback stands open."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import Identity, Incident
from monitor.storage import Database, incident_rows, observations
from monitor.storage.tables import observations as table
from monitor.worker import admission
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, observation

EVERY = timedelta(minutes=10)  # of the configuration
SLOTS = "SELECT missed FROM slots ORDER BY slot"


async def fallen(database: Database, *, open_: bool = True, usd: str = "1") -> datetime:
    """An incident, and an hour of fallbacks before the slot that is returned."""
    now = datetime.now(UTC)
    slot = datetime.fromtimestamp(now.timestamp() // 1200 * 1200, UTC)
    seen: list[Any] = [
        observation(slot=at, started_at=at, query=query, identity=Identity.FALLBACK,
                    model_detected=HAIKU, cost_usd=Decimal(usd))
        for at in (slot - EVERY * n for n in (1, 2, 3))
        for query in ("hi", "kbli", "third", "fourth")
    ]  # fmt: skip
    incident = Incident(
        rule="fallback", scope="rag", opened_at=now, last_breach_at=now, last_told_at=now,
        resolved_at=None if open_ else now, value=1.0, limit=0.1, because="It fell back.",
    )  # fmt: skip
    async with database.begin() as connection:
        await observations.add(connection, seen)
        await connection.execute(table.update().values(recorded_at=table.c.started_at))
        await incident_rows.save(connection, [incident], [])
    return slot


@pytest.mark.parametrize(
    ("changes", "given", "missed", "requested"),
    [
        ({}, {}, [None, "thinned out", None, "thinned out"], 1),
        ({"open_": False}, {}, [None] * 4, 2),
        ({"usd": "0.000001"}, {}, [None] * 4, 2),
        ({}, {"MONITOR_PROBES__THIN_OUT": "false"}, [None] * 4, 2),
        ({}, {"MONITOR_RULES__FALLBACK__ENABLED": "false"}, [None] * 4, 2),
    ],
    ids=["a dear fallback", "over", "a cheap one", "not wanted", "nobody judges"],
)
async def test_every_second_slot_is_left_out_and_marked_and_the_others_ask_one_query(
    database: Database, database_url: str, tmp_path: Path,
    changes: dict[str, Any], given: dict[str, str], missed: list[str | None], requested: int,
) -> None:  # fmt: skip
    slot = await fallen(database, **changes)
    configured = settings(tmp_path, **given)
    target = configured.targets["rag"]
    async with open_context(configured, database) as context:
        admitted = await admission.admit(context, [(target, slot + n * EVERY) for n in range(4)])
    assert [len(one.queries) for one in admitted] == [requested] * missed.count(None)
    assert [row[0] for row in rows(database_url, SLOTS)] == missed
