"""A service that throttles us: the rest of the round is not asked, nor rounds it wants left out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.jobs import asking
from monitor.store import Database
from tests.contract.test_probe_budget import nothing
from tests.contract.watching import settings, watching
from tests.e2e.rig import rows
from tests.scripted import scripted, whole

SLOTS = "SELECT missed FROM slots ORDER BY slot"
SEEN = "SELECT outcome, ttft_ms, fallback FROM observations"


@pytest.mark.parametrize(
    ("wait_s", "missed"), [(120, "the service asked for patience"), (0, "HTTP 429: slowly")]
)
async def test_a_round_that_is_throttled_ends_and_the_next_is_asked_when_the_service_allows_it(
    database: Database, database_url: str, tmp_path: Path, wait_s: int, missed: str
) -> None:
    slot = datetime.now(UTC)
    async with scripted(whole(429, b"slowly", ("Retry-After", str(wait_s)))) as server:
        configured = settings(tmp_path, server.url)
        rag = configured.targets["rag"]
        assert len(rag.queries) == 2
        async with watching(configured, database) as watch:
            asked = [
                await asking.ask_round(watch, rag, slot + nth * timedelta(minutes=10),
                                       between=nothing)
                for nth in range(2)
            ]  # fmt: skip
        assert server.connections == sum(asked) == (2 if wait_s == 0 else 1)
    assert rows(database_url, SLOTS) == [("HTTP 429: slowly",), (missed,)]
    assert set(rows(database_url, SEEN)) == {("rate_limited", None, None)}, (
        "neither slow nor fallen"
    )


async def test_being_asked_to_wait_for_one_target_spares_no_other(
    database: Database, tmp_path: Path
) -> None:
    async with watching(settings(tmp_path), database) as watch:
        rag = watch.settings.targets["rag"]
        watch.patience["another"] = datetime.now(UTC) + timedelta(hours=1)
        why, queries = await asking._admitted(watch, rag, datetime.now(UTC))
    assert (why, tuple(queries)) == (None, rag.queries)
