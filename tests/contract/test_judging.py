"""The evaluation on stored incidents: what is still judged, and what nobody will judge again."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from monitor.domain import Incident
from monitor.jobs import judging
from monitor.store import Database, incidents
from tests.contract.watching import settings, watching
from tests.e2e.rig import rows

OPEN = "SELECT target FROM incidents WHERE resolved_at IS NULL ORDER BY 1"


async def test_incidents_of_a_removed_target_end_after_an_hour(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with watching(settings(tmp_path), database) as watch:
        ago = watch.now() - timedelta(minutes=50)
        old = [
            Incident(
                rule="down", scope=scope, opened_at=ago, last_breach_at=ago, last_told_at=ago,
                value=5.0, limit=5.0, because="5 of the last 6 probes failed.",
            )
            for scope in ("rag", "gone")
        ]  # fmt: skip
        async with database.begin() as connection:
            await incidents.save(connection, old, ())
        await judging.evaluate(watch)
        assert rows(database_url, OPEN) == [("gone",), ("rag",)]
        async with database.begin() as connection:
            later = text("UPDATE incidents SET last_breach_at = last_breach_at - interval '1 hour'")
            await connection.execute(later)
        assert await judging.evaluate(watch)
    assert rows(database_url, OPEN) == [("rag",)]
    told = rows(database_url, "SELECT status, notice->>'sentence' FROM outbox")
    assert [status for status, _ in told] == ["RESOLVED"]
    assert told[0][1].endswith(
        "Target removed from the configuration; closed without a final check."
    )
