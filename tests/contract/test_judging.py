"""The evaluation on stored incidents: what is still judged, and what nobody will judge again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.config import load
from monitor.domain import Identity, Incident, Outcome, StampSource
from monitor.storage import Database, incident_rows, observations
from monitor.worker import evaluation, reload
from tests.contract.open_context import deliver, open_context, settings
from tests.e2e.worker_process import rows
from tests.example_data import HAIKU, observation

MINUTE = timedelta(minutes=1)
OPEN = "SELECT target FROM incidents WHERE resolved_at IS NULL ORDER BY 1"


async def test_a_target_that_a_reload_adds_or_changes_is_not_silent_since_the_start(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    before = settings(tmp_path)
    path = tmp_path / "monitor.toml"
    written = path.read_text()
    path.write_text(
        written.replace('"10m"', '"5s"') + written.replace("targets.rag", "targets.new")
    )
    after = load({"MONITOR_CONFIG": str(path), "SERVICE_KEY": "canary-key-4711"})
    async with open_context(before, database) as context:
        context.state.began_s -= 3600.0
        await evaluation.evaluate(reload.applied(context, after))
    assert rows(database_url, OPEN) == []


async def test_incidents_of_a_removed_target_end_after_an_hour(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        ago = context.now() - timedelta(minutes=50)
        old = [
            Incident(
                rule="down", scope=scope, opened_at=ago, last_breach_at=ago, last_told_at=ago,
                value=5.0, limit=5.0, because="5 of the last 6 probes failed.",
            )
            for scope in ("rag", "gone")
        ]  # fmt: skip
        async with database.begin() as connection:
            await incident_rows.save(connection, old, ())
        await evaluation.evaluate(context)
        assert rows(database_url, OPEN) == [("gone",), ("rag",)]
        async with database.begin() as connection:
            later = text("UPDATE incidents SET last_breach_at = last_breach_at - interval '1 hour'")
            await connection.execute(later)
        assert await evaluation.evaluate(context)
    assert rows(database_url, OPEN) == [("rag",)]
    notified = rows(database_url, "SELECT status, notice->>'sentence' FROM outbox")
    assert [status for status, _ in notified] == ["RESOLVED"]
    assert notified[0][1].endswith(
        "Target removed from the configuration; closed without a final check."
    )


async def test_what_the_service_said_when_it_failed_reaches_the_message_of_down(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    reported = (
        'HTTP 401: {"error": {"type": "authentication_error", "message": "invalid x-api-key"}}'
    )
    async with open_context(settings(tmp_path), database) as context:
        begun = context.now() - timedelta(minutes=2)
        failed = [
            observation(
                target="rag", query=query, slot=begun + minute * MINUTE,
                started_at=begun + minute * MINUTE, outcome=Outcome.HTTP_STATUS, error=reported,
                http_status=401, ttft_ms=None, identity=Identity.UNKNOWN,
            )
            for minute in range(3) for query in ("hi", "kbli")
        ]  # fmt: skip
        async with database.begin() as connection:
            await observations.add(connection, failed)
        assert await evaluation.evaluate(context)
    [(sentence, since, first_seen_at, fired)] = rows(
        database_url,
        "SELECT n.notice->>'sentence', (n.notice->>'since')::timestamptz, i.first_seen_at, "
        "i.opening_because FROM outbox AS n JOIN incidents AS i ON i.number = n.incident "
        "WHERE i.rule = 'down'",
    )
    assert sentence == fired == "6 of the last 6 probes failed: HTTP 401: invalid x-api-key."
    assert since == first_seen_at == begun


@pytest.mark.parametrize(
    ("wrong", "rules"),
    [
        ({}, []),
        (
            {"outcome": Outcome.REFUSED, "ttft_ms": None, "identity": Identity.UNKNOWN},
            ["down"],
        ),
        ({"identity": Identity.FALLBACK, "model_detected": HAIKU}, ["fallback"]),
        ({"identity": Identity.CHANGED, "model_detected": None}, ["model_changed"]),
    ],
)
async def test_when_every_measurement_is_disturbed_a_notice_says_so_and_other_rules_judge(
    database: Database,
    database_url: str,
    tmp_path: Path,
    wrong: dict[str, object],
    rules: list[str],
) -> None:
    async with open_context(settings(tmp_path), database) as context:
        start = context.now() - timedelta(minutes=60)
        new = [
            observation(
                target="rag", query=query, slot=start + nth * 6 * MINUTE,
                started_at=start + nth * 6 * MINUTE, stamp=StampSource.DEGRADED,
                **({"ttft_ms": 9000.0} | (wrong if nth > 6 else {})),
            )
            for nth in range(10) for query in ("hi", "kbli")
        ]  # fmt: skip
        async with database.begin() as connection:
            await observations.add(connection, new)
        assert await evaluation.evaluate(context)
        await evaluation.evaluate(context)
        assert await deliver(context)
    assert sorted(rows(database_url, "SELECT rule FROM incidents")) == sorted(
        (rule,) for rule in ["ttft_unknown", *rules]
    )
    [notice] = rows(
        database_url,
        "SELECT n.status, n.notice->'number', n.notice->>'sentence', i.told_at IS NOT NULL "
        "FROM outbox AS n JOIN incidents AS i ON i.number = ANY (n.incidents) "
        "WHERE i.rule = 'ttft_unknown'",
    )
    assert notice[:2] == ("NOTICE", None)
    assert notice[2].startswith("TTFT cannot be judged: ")
    assert notice[3], "when people were notified is known"


IMMEDIATE = """
[rules.ttft]
mode = "immediate"
"""
FIRED = "SELECT query, resolved_at IS NULL FROM incidents WHERE rule = 'ttft' ORDER BY number"


async def test_in_mode_immediate_each_query_has_its_own_incident_through_restarts(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings(tmp_path)
    path = tmp_path / "monitor.toml"
    path.write_text(path.read_text() + IMMEDIATE)
    configured = load({"MONITOR_CONFIG": str(path), "SERVICE_KEY": "canary-key-4711"})

    async def after(*latencies: tuple[str, float]) -> list[tuple[object, ...]]:
        """What stands after further probes and a worker that was just started."""
        async with database.begin() as connection:
            for query, ttft_ms in latencies:
                at = datetime.now(UTC)
                new = observation(slot=at, started_at=at, query=query, ttft_ms=ttft_ms)
                await observations.add(connection, [new])
        async with open_context(configured, database) as context:
            await evaluation.evaluate(context)
            await evaluation.evaluate(context)
        return rows(database_url, FIRED)

    assert await after(("hi", 500), ("kbli", 1300)) == [("kbli", True)]
    assert await after(("hi", 500), ("kbli", 1301)) == [("kbli", True)]
    assert await after(("hi", 1250), ("kbli", 1300)) == [("kbli", True), ("hi", True)]
    assert await after(("hi", 500), ("kbli", 1300)) == [("kbli", True), ("hi", False)]
    assert await after(("hi", 500), ("kbli", 900)) == [("kbli", False), ("hi", False)]
    notified = rows(database_url, "SELECT status, notice->>'scope' FROM outbox ORDER BY sequence")
    assert [status for status, _ in notified] == ["FIRING", "FIRING", "RESOLVED", "RESOLVED"]
    assert {scope for _, scope in notified} == {"rag"}


LITERAL_FALLBACK = """
[rules.fallback]
mode = "immediate"
"""


async def test_in_mode_immediate_messages_of_a_fallback_name_their_query(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings(tmp_path)
    path = tmp_path / "monitor.toml"
    path.write_text(path.read_text() + LITERAL_FALLBACK)
    configured = load({"MONITOR_CONFIG": str(path), "SERVICE_KEY": "canary-key-4711"})
    fell = {"identity": Identity.FALLBACK, "model_detected": "anthropic/claude-haiku-4-5"}
    for changes in (fell, {}):
        at = datetime.now(UTC)
        async with database.begin() as connection:
            await observations.add(connection, [
                observation(slot=at, started_at=at, query="hi"),
                observation(slot=at, started_at=at, query="kbli", **changes),
            ])  # fmt: skip
        async with open_context(configured, database) as context:
            await evaluation.evaluate(context)
    notified = rows(
        database_url, "SELECT status, notice->>'sentence' FROM outbox ORDER BY sequence"
    )
    assert [status for status, _ in notified] == ["FIRING", "RESOLVED"]
    assert notified[0][1].startswith("Query kbli: The latest answer")
    assert "Query kbli: " in notified[1][1]
    assert rows(database_url, "SELECT rule, query FROM report.incidents") == [("fallback", "kbli")]


async def test_a_dead_server_with_many_targets_is_one_message(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    before = settings(tmp_path)
    path = tmp_path / "monitor.toml"
    written = path.read_text()
    more = "".join(written.replace("targets.rag", f"targets.t{n:02}") for n in range(2, 14))
    path.write_text(written + more)
    after = load({"MONITOR_CONFIG": str(path), "SERVICE_KEY": "canary-key-4711"})
    assert len(after.targets) == len(before.targets) + 12
    async with open_context(after, database) as context:
        begun = context.now() - timedelta(minutes=2)
        failed = [
            observation(
                target=target, query=query, slot=begun + minute * MINUTE,
                started_at=begun + minute * MINUTE, outcome=Outcome.REFUSED,
                error="Connection refused", ttft_ms=None, identity=Identity.UNKNOWN,
            )
            for target in after.targets for minute in range(3) for query in ("hi", "kbli")
        ]  # fmt: skip
        async with database.begin() as connection:
            await observations.add(connection, failed)
        assert await evaluation.evaluate(context)
        await evaluation.evaluate(context)
    found = rows(database_url, "SELECT incident, status, notice->>'others' FROM outbox")
    assert found == [(1, "FIRING", "12")]
    parts = "SELECT count(*), count(part_of), count(DISTINCT announced_as) FROM incidents"
    assert rows(database_url, parts) == [(13, 12, 1)]
