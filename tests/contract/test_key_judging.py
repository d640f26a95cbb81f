"""The rule `key` on stored readings: what is told, and how often."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from monitor.domain import AccountReading, AccountState, Identity, Incident
from monitor.storage import Database, account_readings, incident_rows, observations
from monitor.worker import evaluation
from tests.contract.open_context import open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import observation

TOLD = "SELECT status, notice->>'sentence' FROM outbox ORDER BY sequence"
KEY = "sk-or-canary"
NOW = datetime.now(UTC).replace(microsecond=0)


async def told(database: Database, url: str, home: Path, *readings: AccountReading) -> Any:
    """What stands in the outbox after each of the readings was judged twice."""
    async with open_context(settings(home, OPENROUTER_API_KEY=KEY), database) as context:
        for reading in readings:
            async with database.begin() as connection:
                await account_readings.add(connection, reading)
            for _ in range(2):
                await evaluation.evaluate(context)
    return [row for row in rows(url, TOLD) if "key" in row[1]]


def reading(**changes: Any) -> AccountReading:
    ok: dict[str, Any] = {"provider": "openrouter", "at": NOW, "state": AccountState.OK}
    return AccountReading(**ok | changes)


async def test_a_rejected_key_fires_at_once_and_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    refused = reading(state=AccountState.REJECTED, detail="HTTP 401: the key is rejected")
    failing = reading(at=NOW + timedelta(seconds=1), state=AccountState.FAILING, detail="HTTP 503")
    renewed = reading(at=NOW + timedelta(seconds=2))
    reported = await told(database, database_url, tmp_path, refused, failing, renewed)
    assert [status for status, _ in reported] == ["FIRING", "RESOLVED"]
    assert reported[0][1] == "openrouter: HTTP 401: the key is rejected."


OPEN = "SELECT rule, target, part_of IS NULL FROM incidents WHERE resolved_at IS NULL ORDER BY 1"
REJECTED: dict[str, Any] = {
    "state": AccountState.REJECTED,
    "detail": "HTTP 401: the key is rejected",
}
EXPIRING: dict[str, Any] = {"expires_at": NOW + timedelta(days=2, hours=1)}


async def read(database: Database, **changes: Any) -> None:
    async with database.begin() as connection:
        await account_readings.add(connection, reading(**changes))


async def fallbacks(database: Database, count: int = 6) -> None:
    async with database.begin() as connection:
        for n in range(count):
            at = datetime.now(UTC) - timedelta(seconds=count - n)
            await observations.add(connection, [
                observation(slot=at, started_at=at, identity=Identity.FALLBACK,
                            model_detected="anthropic/claude-haiku-4-5")
            ])  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "age"),
    [({}, timedelta(0)), ({"OPENROUTER_API_KEY": KEY}, timedelta(minutes=20))],
    ids=["the key was removed", "nothing was read for four polls"],
)
async def test_a_key_of_which_nothing_recent_is_known_mutes_nothing_and_says_nothing(
    database: Database, database_url: str, tmp_path: Path, keys: dict[str, str], age: timedelta
) -> None:
    before = settings(tmp_path, OPENROUTER_API_KEY=KEY)
    async with open_context(before, database) as context:
        await read(database, **REJECTED)
        await evaluation.evaluate(context)
    assert rows(database_url, OPEN) == [("key", "openrouter", True)]
    async with database.begin() as connection:
        await connection.execute(text("UPDATE account_readings SET at = at - :age"), {"age": age})
    await fallbacks(database)
    async with open_context(settings(tmp_path, **keys), database) as context:
        await evaluation.evaluate(context)
    assert rows(database_url, OPEN) == [("fallback", "rag", True), ("key", "openrouter", True)]
    newest = rows(database_url, TOLD)[-1]
    assert newest[0] == "FIRING"
    assert "answers" in newest[1], "the fallback has a message of its own"


async def test_an_incident_of_a_removed_key_closes_and_says_why(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path, OPENROUTER_API_KEY=KEY), database) as context:
        await read(database, **REJECTED)
        await evaluation.evaluate(context)
    async with open_context(settings(tmp_path), database) as context:
        await evaluation.evaluate(context)
        assert rows(database_url, OPEN) == [("key", "openrouter", True)]
        async with database.begin() as connection:
            later = "UPDATE incidents SET last_breach_at = last_breach_at - interval '6 minutes'"
            await connection.execute(text(later))
        await evaluation.evaluate(context)
    assert rows(database_url, OPEN) == []
    status, sentence = rows(database_url, TOLD)[-1]
    assert status == "RESOLVED"
    assert sentence.endswith("Provider key removed from the configuration; "
                             "closed without a final check.")  # fmt: skip


async def test_an_incident_of_a_channel_no_longer_used_closes_and_says_why(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ago = NOW - timedelta(minutes=6)
    webhook = Incident(
        rule="delivery", scope="webhook", opened_at=ago, last_breach_at=ago, last_told_at=ago,
        value=0.0, limit=15.0, because="The webhook has refused for good.",
    )  # fmt: skip
    async with open_context(settings(tmp_path), database) as context:
        async with database.begin() as connection:
            await incident_rows.save(connection, [webhook], ())
        await evaluation.evaluate(context)
    assert rows(database_url, OPEN) == []
    ended = rows(database_url, "SELECT ended FROM incidents")
    assert ended == [("Channel removed from the configuration; closed without a final check.",)]
