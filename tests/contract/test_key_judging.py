"""The rule `key` on stored readings: what is told, and how often."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from monitor.domain import AccountState, Reading
from monitor.jobs import judging
from monitor.store import Database, accounts
from tests.contract.watching import settings, watching
from tests.e2e.rig import rows

TOLD = "SELECT status, notice->>'sentence' FROM outbox ORDER BY sequence"
NOW = datetime.now(UTC).replace(microsecond=0)


async def told(database: Database, url: str, home: Path, *readings: Reading) -> Any:
    """What stands in the outbox after each of the readings was judged twice."""
    async with watching(settings(home), database) as watch:
        for reading in readings:
            async with database.begin() as connection:
                await accounts.add(connection, reading)
            for _ in range(2):
                await judging.evaluate(watch)
    return [row for row in rows(url, TOLD) if "key" in row[1]]


def reading(**changes: Any) -> Reading:
    ok: dict[str, Any] = {"provider": "openrouter", "at": NOW, "state": AccountState.OK}
    return Reading(**ok | changes)


async def test_a_rejected_key_fires_at_once_and_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    refused = reading(state=AccountState.REJECTED, detail="HTTP 401: the key is rejected")
    failing = reading(at=NOW + timedelta(seconds=1), state=AccountState.FAILING, detail="HTTP 503")
    renewed = reading(at=NOW + timedelta(seconds=2))
    said = await told(database, database_url, tmp_path, refused, failing, renewed)
    assert [status for status, _ in said] == ["FIRING", "RESOLVED"]
    assert said[0][1] == "openrouter: HTTP 401: the key is rejected."


async def test_expiry_and_credit_are_each_said_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ends = NOW + timedelta(days=2, hours=1)
    midnight = NOW.replace(hour=0, minute=0, second=0)
    before = [
        reading(at=at, spent_today_usd=Decimal(usd), remaining_usd=Decimal(50))
        for at, usd in ((midnight - timedelta(days=1), "0"), (midnight - timedelta(seconds=1), "6"))
    ]
    low = [
        reading(at=NOW + timedelta(seconds=s), expires_at=ends, limit_usd=Decimal(50),
                remaining_usd=Decimal("1.50"), spent_today_usd=Decimal(0))
        for s in (0, 1)
    ]  # fmt: skip
    said = await told(database, database_url, tmp_path, *before, *low)
    assert [status for status, _ in said] == ["NOTICE", "NOTICE"]
    assert said[0][1].startswith("The key of openrouter expires in 2 days, ")
    assert said[1][1].startswith("$1.50 is left on the key of openrouter, which spends $")
