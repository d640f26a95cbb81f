"""The likely cause in a message, from what the database holds of a target's last hour."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import Identity, Outcome
from monitor.storage import Database, account_readings, observations
from monitor.storage.tables import observations as table
from monitor.worker import evaluation
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, observation

TOLD = "SELECT rule, finding->>'cause' FROM incidents ORDER BY rule"
PAGE = "http://rag.example/health"


async def fell(database: Database, now: datetime, *, hashes: str = "aaaa", **more: Any) -> None:
    """Rounds ten minutes apart of two queries each, all of them fallbacks, a hash a round."""
    seen: list[Any] = []
    for nth, config_hash in enumerate(reversed(hashes)):
        at = now - timedelta(minutes=10 * nth + 1)
        fallen = {"identity": Identity.FALLBACK, "model_detected": HAIKU}
        seen += [
            observation(
                slot=at, started_at=at, query=query, config_hash=config_hash, **fallen | more
            )
            for query in ("hi", "kbli")
        ]
    async with database.begin() as connection:
        await observations.add(connection, seen)
        await connection.execute(table.update().values(recorded_at=table.c.started_at))


async def page(database: Database, at: datetime, status: int | None = 200, **facts: Any) -> None:
    async with database.begin() as connection:
        await account_readings.keep(
            connection, "rag", PAGE, at=at, http_status=status, healthy=True, unmet=[], facts=facts
        )


async def test_a_health_page_that_changed_before_the_fallback_is_its_likely_cause(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        await fell(database, now)
        await page(database, now - timedelta(hours=9), version="5.2", region="fra", up=True)
        await page(database, now - timedelta(minutes=40), version="5.3", region="sin", up=False)
        await evaluation.evaluate(context)
        ago = now - timedelta(minutes=40)
        assert rows(database_url, TOLD) == [(
            "fallback", "its health page changed, as after a deploy: "
            f"version 5.3, before 5.2, region sin, before fra and 1 more, at {ago:%H:%M} UTC",
        )]  # fmt: skip
        await page(database, now + timedelta(minutes=5), version="5.4")
        await evaluation.evaluate(context)
        assert rows(database_url, TOLD)[0][1].endswith(f"at {ago:%H:%M} UTC"), "that came after it"


@pytest.mark.parametrize(
    ("readings", "hashes", "cause"),
    [
        ([], "aaaa", None),
        ([(40, 200)], "aaaa", None),  # the first reading is no change
        ([(90, 200), (70, 503)], "aaaa", None),  # too long ago
        ([(40, 200), (20, 503)], "aaaa", "its health page returned 503, before 200, at "),
        ([(40, 200), (20, None)], "aaaa", "its health page returned nothing, before 200, at "),
        ([], "aabb", "the monitor's configuration changed, at "),
    ],
)
async def test_what_is_not_known_is_not_reported(
    database: Database, database_url: str, tmp_path: Path,
    readings: list[tuple[int, int | None]], hashes: str, cause: str | None,
) -> None:  # fmt: skip
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        await fell(database, now, hashes=hashes)
        for minutes, status in readings:
            await page(database, now - timedelta(minutes=minutes), status)
        await evaluation.evaluate(context)
    [(rule, notified)] = rows(database_url, TOLD)
    assert rule == "fallback"
    assert notified is None if cause is None else notified.startswith(cause)


async def test_refusals_are_reported_in_the_message(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        now = context.now()
        await fell(database, now - timedelta(minutes=1))
        await fell(database, now, outcome=Outcome.RATE_LIMITED, ttft_ms=None,
                   identity=Identity.UNKNOWN, model_detected=None)  # fmt: skip
        await evaluation.evaluate(context)
    notified = rows(database_url, "SELECT notice->'finding'->>'cause' FROM outbox")
    assert notified == [("the service is rate limiting: 8 of 16 probes got HTTP 429",)]
