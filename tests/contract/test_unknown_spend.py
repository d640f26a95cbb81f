"""Money under an unknown model: an hour of `changed` answers is announced, shown, and stops at the
budget of probes.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.cli.alerting import show
from monitor.domain import Identity, Incident, Observation
from monitor.storage import Database, incident_rows, observations, spend_rows
from monitor.storage.leases import RoundSlot
from monitor.worker import admission, daily_spend, evaluation, probe_throttling
from tests.contract.open_context import open_context, settings
from tests.contract.past_day import one, sql
from tests.example_data import observation

LOW, HIGH = Decimal("0.0001"), Decimal("0.0400")
NOTICES = """
    SELECT notice->>'status', notice->>'rule', notice->>'sentence'
    FROM outbox WHERE notice->>'rule' = 'spend' ORDER BY sequence
"""


def changed(at: datetime, **changes: Any) -> Observation:
    """An answer that no longer looks like the expected model's, by nobody can tell whom."""
    nobody = {
        "slot": at, "started_at": at, "origin": "manual", "identity": Identity.CHANGED,
        "model_detected": None, "cost_usd": None, "cost_source": None, "rates": {},
        "cost_low_usd": LOW, "cost_high_usd": HIGH,
        "cost_reason": "the model is unknown: priced as a range",
    }  # fmt: skip
    return observation(**nobody | changes)


async def add(database: Database, *rows: Observation) -> None:
    async with database.begin() as connection:
        await observations.add(connection, rows)


async def test_a_day_of_unknown_models_is_announced_by_its_upper_end_once(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    async with open_context(settings(tmp_path), database) as context:
        await add(database, *(changed(now) for _ in range(50)))
        await evaluation.evaluate(context)
        assert await sql(database, NOTICES) == [], "$2.00 at most: the limit itself is kept"
        await add(database, changed(now))
        assert await evaluation.evaluate(context)
        [(status, _, sentence)] = await sql(database, NOTICES)
        assert status == "NOTICE"
        assert "is between $0.0051 and $2.0400; limit $2.00. The model of some answers" in sentence
        await add(database, changed(now))
        await evaluation.evaluate(context)
        assert len(await sql(database, NOTICES)) == 1
        await add(database, observation(
            slot=now, started_at=now, origin="manual", cost_usd=Decimal("2.00"),
        ))  # fmt: skip
        await evaluation.evaluate(context)
    _, (status, _, sentence) = await sql(database, NOTICES)
    assert status == "FIRING"
    assert "is between $2.01 and $4.08; limit $2.00." in sentence


async def test_the_low_ends_of_a_service_that_never_names_its_model_are_certain(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    async with open_context(settings(tmp_path), database) as context:
        await add(database, changed(now, cost_low_usd=Decimal("2.10"), cost_high_usd=Decimal(9)))
        await evaluation.evaluate(context)
    [(status, _, sentence)] = await sql(database, NOTICES)
    assert (status, "is between $2.10 and $9.00" in sentence) == ("FIRING", True)


async def test_since_is_the_first_row_that_carried_the_sum_over_the_limit(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    slot = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
    paid = [slot + timedelta(microseconds=nth) for nth in range(4)]
    async with open_context(settings(tmp_path), database) as context:
        await add(database, *(
            observation(slot=slot, started_at=at, origin="manual", cost_usd=Decimal("0.90"))
            for at in paid
        ))  # fmt: skip
        assert await evaluation.evaluate(context)
    [since] = await one(database, "SELECT first_seen_at FROM incidents WHERE rule = 'spend'")
    assert since == paid[2]


@pytest.mark.parametrize(("count", "stopped"), [(12, False), (13, True)])
async def test_unknown_models_use_up_the_budget_of_probes_by_their_upper_end(
    database: Database, tmp_path: Path, count: int, stopped: bool
) -> None:
    await add(database, *(changed(datetime.now(UTC)) for _ in range(count)))
    async with open_context(settings(tmp_path), database) as context:
        reason, _ = await admission.before_probe(context, context.settings.targets["rag"])
        await evaluation.evaluate(context)
        async with database.begin() as connection:
            spent = await spend_rows.today(connection)
    assert (spent.usd, spent.high_usd) == (count * LOW, count * HIGH)
    assert (reason is not None) is stopped
    reported = "SELECT count(*) FROM incidents WHERE rule = 'probe_budget' AND because LIKE :like"
    notified = await one(database, reported, like="13 probes%cost between $0.0013 and $0.5200;%")
    assert notified == (int(stopped),)


async def test_waiting_observations_count_by_their_upper_end_too(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    async with open_context(settings(tmp_path), database) as context:
        context.state.spool.keep([changed(now), observation(slot=now, cost_usd=Decimal("0.01"))])
        spent = context.state.spool.spent(now - timedelta(minutes=1))
    assert (spent.usd, spent.high_usd, spent.count) == (LOW + Decimal("0.01"),
                                                        HIGH + Decimal("0.01"), 2)  # fmt: skip


async def test_rounds_are_thinned_while_a_change_of_model_is_open(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    await add(database, *(changed(now - timedelta(minutes=n), origin="round", query="hi")
                          for n in range(3)))  # fmt: skip
    opened = Incident(
        rule="model_changed", scope="rag", opened_at=now, last_breach_at=now, last_told_at=now,
        value=1.0, limit=0.1, because="4 of the last 4 answers do not match.",
    )  # fmt: skip
    async with database.begin() as connection:
        await incident_rows.save(connection, [opened], ())
    async with (
        open_context(settings(tmp_path), database) as context,
        database.begin() as connection,
    ):
        rag = context.settings.targets["rag"]
        slots = [now.replace(minute=0) + n * rag.every for n in range(2)]
        chosen = await probe_throttling.queries_of_rounds(
            connection, context, [(rag, slot) for slot in slots]
        )
        rounds = [chosen[RoundSlot("rag", slot)] for slot in slots]
    assert sorted(len(queries) for queries in rounds) == [0, 1]


async def test_a_stored_observation_keeps_both_ends(database: Database) -> None:
    await add(database, changed(datetime.now(UTC)))
    ends = "SELECT cost_usd, cost_low_usd, cost_high_usd FROM report.observations"
    assert await one(database, ends) == (None, LOW, HIGH)


async def test_show_names_both_ends_of_what_ran_up_while_an_incident_was_open(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], database_url: str,
) -> None:  # fmt: skip
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    opened = Incident(
        rule="model_changed", scope="rag", opened_at=hour, last_breach_at=hour, last_told_at=hour,
        value=1.0, limit=0.1, because="4 of the last 4 answers do not match.",
        resolved_at=hour + timedelta(hours=1),
    )  # fmt: skip
    async with database.begin() as connection:
        await incident_rows.save(connection, [opened], ())
    await add(database, *(changed(hour + timedelta(minutes=n)) for n in range(10)))
    async with open_context(settings(tmp_path), database) as context:
        await daily_spend.compute_recent_days(
            database, context.settings, context.book, now=datetime.now(UTC)
        )
    monkeypatch.setenv("MONITOR_CONFIG", str(tmp_path / "monitor.toml"))
    monkeypatch.setenv("SERVICE_KEY", "canary-key-4711")
    monkeypatch.setenv("DATABASE_URL", database_url)
    await asyncio.to_thread(show, 1)
    assert "  cost while open: between $0.001 and $0.400\n" in capsys.readouterr().out
