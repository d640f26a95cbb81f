"""The report of a seeded database: figures one can count by hand, whatever it is read from."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from monitor.reports.html import html_page
from monitor.reports.page_data import ReportPage, quality_lines
from monitor.reports.timeline import runs
from monitor.storage import Database, incident_rows, observations, report_data
from monitor.worker import report_page
from monitor.worker.incident_memory import IncidentMemory
from tests.contract.open_context import settings
from tests.example_data import HAIKU, LLAMA, observation
from tests.example_history import seed_history
from tests.probe_notation import incident

TEN = timedelta(minutes=10)


async def page(
    database: Database, home: Path, length: timedelta, *, whole: bool = False
) -> ReportPage:
    now = datetime.now(UTC)
    return await report_page.page(database, settings(home), length=length, now=now, whole=whole)


async def counted(database: Database, statement: str) -> tuple[int, ...]:
    async with database.begin() as connection:
        return tuple((await connection.execute(text(statement))).one())


@pytest.mark.parametrize(
    ("length", "step"), [(timedelta(days=1), TEN), (timedelta(days=3), timedelta(hours=1)),
                         (timedelta(days=60), timedelta(days=1))],
)  # fmt: skip
async def test_raw_rows_hours_and_days_agree(
    database: Database, tmp_path: Path, length: timedelta, step: timedelta
) -> None:
    await seed_history(database, hours=23)
    found = await page(database, tmp_path, length, whole=True)
    (rag,) = found.targets
    probes, failed, fell = await counted(
        database,
        "SELECT count(*), count(*) FILTER (WHERE outcome <> 'answered'), "
        "count(*) FILTER (WHERE fallback) FROM observations",
    )
    assert rag.step == step
    assert (rag.probes, rag.failed, rag.fell, rag.known) == (probes, failed, fell, probes - failed)
    assert sum(t.good + t.bad for t in rag.tried) == probes
    assert {p.query for p in rag.ttft} == {"hi", "kbli"}
    assert sum(p.samples for p in rag.ttft) == sum(b.samples for b in rag.bins)
    assert sum(b.fallback for b in rag.bins) == fell == 12
    assert [(q.query, q.probes) for q in rag.queries] == [("hi", probes / 2), ("kbli", probes / 2)]
    assert rag.queries[0].p50_ms == pytest.approx(630, rel=0.02)
    assert dict(rag.outcomes) == {"answered": probes - failed, "timeout_first_token": failed}
    assert html_page(found).count("<figure") > 8


@pytest.mark.parametrize("length", [timedelta(days=7), timedelta(days=90)])
async def test_a_span_begins_with_the_data_there_is(
    database: Database, tmp_path: Path, length: timedelta
) -> None:
    await seed_history(database, hours=23)
    found = await page(database, tmp_path, length)
    assert timedelta(hours=22) < found.until - found.since < timedelta(hours=25)
    assert (found.targets[0].step, found.bar) == (TEN, timedelta(hours=1))
    first = min(item.at for item in found.targets[0].served)
    assert len({item.at for item in found.targets[0].served}) > 20
    assert first - found.since < timedelta(hours=1)


async def test_a_good_and_a_bad_answer_are_found(database: Database, tmp_path: Path) -> None:
    await seed_history(database, hours=23)
    async with database.begin() as connection:
        await connection.execute(text(
            "UPDATE observations SET answer_excerpt = identity || ' speaks' WHERE pieces > 0"
        ))  # fmt: skip
    good, bad = (await page(database, tmp_path, timedelta(days=1))).targets[0].excerpts
    assert (good.is_good, good.model, good.text) == (True, LLAMA, "expected speaks")
    assert (bad.is_good, bad.model, bad.text) == (False, HAIKU, "fallback speaks")
    assert good.query == bad.query, "the same query, where it can be"


async def test_no_answer_of_a_change_or_of_the_round_before_is_shown_as_good(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    said = ("good", "doubtful", "unknown, new", "new")
    identities = ("expected", "expected", "unknown", "changed")
    slots = [now - timedelta(minutes=5 * (4 - n)) for n in range(4)]
    rounds = [
        observation(slot=slot, started_at=slot, identity=identity, answer_excerpt=answer)
        for slot, identity, answer in zip(slots, identities, said, strict=True)
    ]
    since = slots[2]
    async with database.begin() as connection:
        await observations.add(connection, rounds[1:])
        opened = incident("model_changed", opened_at=now, since=since, number=None)
        await incident_rows.save(connection, [opened], [])

    async def shown() -> list[tuple[bool, str | None]]:
        found = (await page(database, tmp_path, timedelta(days=1))).targets[0].excerpts
        return [(one.is_good, one.text) for one in found]

    assert await shown() == [(False, "new")]
    async with database.begin() as connection:
        await observations.add(connection, rounds[:1])
    assert await shown() == [(True, "good"), (False, "new")]


async def test_an_answer_that_failed_its_check_is_not_shown_as_good(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    checks = ((3, True, None), (2, False, "complete: cut"), (1, None, None))
    async with database.begin() as connection:
        await observations.add(connection, [
            observation(slot=slot, started_at=slot, answer_excerpt=f"answer {ago}",
                        check_passed=passed, check_failed=failed)
            for ago, passed, failed in checks
            for slot in [now - timedelta(minutes=5 * ago)]])  # fmt: skip
    good, bad = (await page(database, tmp_path, timedelta(days=1))).targets[0].excerpts
    assert (good.is_good, good.text) == (True, "answer 1")
    assert (bad.is_good, bad.text, bad.error) == (False, "answer 2", "complete: cut")


async def test_a_failed_probe_stands_for_a_bad_answer(database: Database, tmp_path: Path) -> None:
    slot = datetime.now(UTC) - timedelta(minutes=5)
    async with database.begin() as connection:
        await observations.add(connection, [
            observation(slot=slot, started_at=slot, outcome="http_status", error="HTTP 502",
                        pieces=0, identity="unknown", answer_excerpt=None)])  # fmt: skip
    [bad] = (await page(database, tmp_path, timedelta(days=1))).targets[0].excerpts
    assert (bad.is_good, bad.outcome, bad.error, bad.text) == (
        False, "http_status", "HTTP 502", None)  # fmt: skip


async def test_the_last_round_is_found_whole(database: Database, tmp_path: Path) -> None:
    slot = datetime.now(UTC) - timedelta(minutes=5)
    async with database.begin() as connection:
        await observations.add(connection, [
            observation(slot=at, started_at=at + timedelta(seconds=k), query=query)
            for at in (slot - TEN, slot) for k, query in enumerate(("hi", "kbli"))])  # fmt: skip
    found = (await page(database, tmp_path, timedelta(days=1))).targets[0].last_round
    assert found is not None
    assert found.at == slot
    assert [(probe.query, probe.good) for probe in found.probes] == [("hi", True), ("kbli", True)]


async def test_a_gap_has_no_entry_and_degraded_samples_are_left_out(
    database: Database, tmp_path: Path
) -> None:
    await seed_history(database, hours=23)
    found = (await page(database, tmp_path, timedelta(days=1))).targets[0]
    steps = sorted({p.at for p in found.ttft})
    gaps = [later - at for at, later in pairwise(steps) if later - at > TEN]
    # A round is ten minutes; the failed and the badly timed one have no entry either.
    assert gaps == [timedelta(minutes=70), 2 * TEN, 2 * TEN]
    assert found.quality.degraded == 2


async def test_extra_probes_are_stated_beside_the_rounds(
    database: Database, tmp_path: Path
) -> None:
    await seed_history(database, hours=2)
    at = datetime.now(UTC) - timedelta(minutes=5)
    extra = [observation(origin="burst", slot=at, started_at=at) for _ in range(3)]
    async with database.begin() as connection:
        await observations.add(connection, extra)
    found = (await page(database, tmp_path, timedelta(days=1))).targets[0]
    lines = dict(quality_lines(found.quality))
    assert lines["extra probes on suspicion, which belong to no round"] == "3"


async def test_phases_follow_one_another(database: Database, tmp_path: Path) -> None:
    await seed_history(database, hours=2)
    hi = (await page(database, tmp_path, timedelta(days=1))).targets[0].queries[0]
    assert (hi.dns_ms, hi.tcp_ms, hi.tls_ms, hi.head_ms) == (2, 23, 20, 40)
    assert hi.text_ms is not None
    assert hi.text_ms >= 560


async def test_costs_and_models_are_named(database: Database, tmp_path: Path) -> None:
    await seed_history(database, hours=23)
    rag = (await page(database, tmp_path, timedelta(days=1))).targets[0]
    assert {(c.query, c.model, c.mean_usd) for c in rag.costs} == {
        (query, model, usd) for query in ("hi", "kbli")
        for model, usd in ((LLAMA, Decimal("0.000141")), (HAIKU, Decimal("0.00095")))}  # fmt: skip
    assert {(s.model, s.identity) for s in rag.served} == {
        (LLAMA, "expected"), (HAIKU, "fallback")}  # fmt: skip


async def test_spend_counts_what_each_day_was_judged_by(database: Database, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    async with database.begin() as connection:
        await connection.execute(text(
            "INSERT INTO spend_days (day, provider, probes_usd, traffic_usd, unpriced, "
            "account_usd, spent_usd, at_least, meter, because, reckoned_at) VALUES "
            "(:day, 'openrouter', 0.1, 0.2, 0, 0.5, 0.5, false, 'account', 'x', now()), "
            "(:day, 'anthropic', 0.3, 1.2, 1, NULL, 1.5, true, 'estimate', 'x', now())"
        ), {"day": today})  # fmt: skip
    found = await page(database, tmp_path, timedelta(days=1))
    (spent,) = [item for item in found.spend if item.day == today]
    meters = (spent.account_usd, spent.probes_usd, spent.traffic_usd)
    assert (spent.total_usd, spent.at_least) == (2, True)
    assert meters == (Decimal("0.5"), Decimal("0.3"), Decimal("1.2"))
    assert found.spend_limit_usd == 2


async def test_incidents_of_the_span_are_listed_with_their_limits(
    database: Database, tmp_path: Path
) -> None:
    await seed_history(database, hours=2)
    (notified,) = (await page(database, tmp_path, timedelta(days=1))).incidents
    assert (notified.rule, notified.scope, notified.peak, notified.limit) == (
        "fallback",
        "rag",
        1.0,
        0.1,
    )
    assert (await page(database, tmp_path, timedelta(hours=1))).incidents == ()


async def test_regions_have_lines_of_their_own(database: Database, tmp_path: Path) -> None:
    slot = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    async with database.begin() as connection:
        await observations.add(connection, [
            observation(slot=slot, started_at=slot, region=region, ttft_ms=ttft)
            for region, ttft in (("sin", 500.0), ("ams", 900.0))])  # fmt: skip
    for length in (timedelta(days=1), timedelta(days=7)):
        (rag,) = (await page(database, tmp_path, length)).targets
        assert [(p.query, p.p50_ms) for p in rag.ttft] == [("hi · ams", 900), ("hi · sin", 500)]
        assert rag.p50_ms == pytest.approx(700, rel=0.01)


async def test_what_its_own_health_page_says_stands_beside_what_probes_say(
    database: Database, tmp_path: Path
) -> None:
    slot = datetime.now(UTC) - timedelta(minutes=5)
    facts = {"status": "healthy", "services.router": True, "error": None}
    async with database.begin() as connection:
        await observations.add(connection, [observation(slot=slot, started_at=slot, query=q,
                                                        identity=i) for q, i in
                                            (("a", "fallback"), ("b", "expected"))])  # fmt: skip
        await connection.execute(text(
            "INSERT INTO health_readings (target, url, at, checked_at, http_status, healthy, "
            "unmet, facts) VALUES ('rag', '/health', now(), now(), 200, true, '{}', :facts)"
        ), {"facts": json.dumps(facts)})  # fmt: skip
    reported = (await page(database, tmp_path, timedelta(days=1))).targets[0].health
    assert reported is not None
    assert reported.healthy is True
    assert reported.contradiction is not None
    assert "1 of 2 answers fell back" in reported.contradiction
    assert "status is healthy" in reported.says
    assert "error is absent" in reported.says


async def test_an_empty_database_makes_an_honest_page(database: Database, tmp_path: Path) -> None:
    for length in (timedelta(minutes=1), timedelta(days=7), timedelta(days=365)):
        found = await page(database, tmp_path, length)
        assert [t.probes for t in found.targets] == [0]
        assert "No data in this period." in html_page(found)


@pytest.mark.parametrize(
    ("length", "every", "step"),
    [
        (timedelta(minutes=1), timedelta(seconds=1), timedelta(seconds=1)),
        (timedelta(hours=1), timedelta(seconds=1), timedelta(seconds=10)),
        (timedelta(hours=1), timedelta(minutes=5), timedelta(minutes=5)),
        (timedelta(hours=48), timedelta(minutes=5), timedelta(minutes=10)),
        (timedelta(hours=48, seconds=1), timedelta(minutes=5), timedelta(hours=1)),
        (timedelta(days=45), timedelta(minutes=5), timedelta(hours=1)),
        (timedelta(days=46), timedelta(minutes=5), timedelta(days=1)),
    ],
)
def test_steps_are_no_finer_than_can_be_read(
    length: timedelta, every: timedelta, step: timedelta
) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    found = report_data.span(now, length, every=every, zone=ZoneInfo("UTC"))
    assert found.step == step


async def test_rounds_longer_than_their_interval_are_steps_of_their_own_length(
    database: Database, tmp_path: Path
) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    at = [start + k * timedelta(minutes=20) for k in (0, 1, 2)]  # ten were configured
    async with database.begin() as connection:
        await observations.add(connection, [observation(slot=a, started_at=a) for a in at])
    (rag,) = (await page(database, tmp_path, timedelta(hours=2))).targets
    assert rag.step == timedelta(minutes=30), "the next that one can read"
    assert len(list(runs(rag.ttft, rag.step))) == 1, "no gap between rounds that were asked"


def test_long_spans_begin_at_a_midnight_of_the_zone() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    rome = ZoneInfo("Europe/Rome")
    found = report_data.span(now, timedelta(days=30), every=TEN, zone=rome)
    assert found.since == datetime(2026, 10, 20, 22, tzinfo=UTC)
    assert found.parameters["first_day"] == date(2026, 10, 21)


async def test_an_incident_that_came_back_keeps_each_of_its_breaches(
    database: Database, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    first = (now - timedelta(hours=5), now - timedelta(hours=4))
    back = now - timedelta(hours=1)
    again = incident(
        "fallback", opened_at=first[0], first_seen_at=first[0], reopened_at=back, since=back,
        reopenings=1, earlier_breaches=(first,), number=None,
    )  # fmt: skip
    async with database.begin() as connection:
        await incident_rows.save(connection, [again], [])
        [kept] = await IncidentMemory().latest(connection)
    assert kept.earlier_breaches == (first,)
    [shown] = (await page(database, tmp_path, timedelta(days=1))).incidents
    assert list(shown.breaches(now)) == [first, (back, now)]


async def test_the_end_of_a_breach_is_stored_and_shown(database: Database, tmp_path: Path) -> None:
    """A restart reads it; the page, the terminal and the view end the breach there."""
    now = datetime.now(UTC).replace(microsecond=0)
    began, good, resolved = (now - timedelta(minutes=m) for m in (90, 75, 30))
    over = incident(
        "fallback", opened_at=began, first_seen_at=began, since=began, until=good,
        resolved_at=resolved, number=None,
    )  # fmt: skip
    async with database.begin() as connection:
        await incident_rows.save(connection, [over], [])
        [kept] = await IncidentMemory().latest(connection)
    assert (kept.until, kept.breach_until, kept.resolved_at) == (good, good, resolved)
    shown = await page(database, tmp_path, timedelta(days=1))
    [row] = shown.incidents
    assert (row.breach_until, list(row.breaches(now))) == (good, [(began, good)])
    assert row.lasted(now) == timedelta(minutes=15)
    older = replace(row, breach_until=None)
    assert list(older.breaches(now)) == [(began, resolved)]
