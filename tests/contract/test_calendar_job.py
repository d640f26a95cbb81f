"""The calendar job on a real database and real TLS servers: what is stored, and what is told."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from monitor.domain import AccountReading, AccountState
from monitor.storage import Database, account_readings, leases, observations
from monitor.worker import calendar_job, model_polling
from monitor.worker.context import WorkerContext
from tests.certificates import Authority, authority
from tests.contract.open_context import open_context, settings
from tests.contract.provider_api import provider, reply
from tests.e2e.worker_process import rows
from tests.example_data import LLAMA, observation
from tests.scripted_server import LAST, head, scripted_server

DATES = (
    "SELECT kind, scope, round(days_left)::int, notified_days FROM report.calendar ORDER BY ends_at"
)
TOLD = "SELECT notice->>'sentence' FROM outbox ORDER BY sequence"
KEY = {"OPENROUTER_API_KEY": "sk-or-canary"}
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


async def read(database: Database, **changes: Any) -> None:
    ok: dict[str, Any] = {"provider": "openrouter", "at": NOW, "state": AccountState.OK}
    async with database.begin() as connection:
        await account_readings.add(connection, AccountReading(**ok | changes))


def secure(context: WorkerContext, url: str, ours: Authority) -> WorkerContext:
    """The context with its target behind this authority."""
    targets = {
        name: replace(target, url=url, ca_file=ours.ca_file)
        for name, target in context.settings.targets.items()
    }
    return replace(context, settings=replace(context.settings, targets=targets))


async def test_an_expiry_is_told_once_and_a_renewal_cancels_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await read(database, expires_at=NOW + 2 * DAY + timedelta(hours=1))
    for worker in ("w1", "w2"):  # the second worker takes over from the first
        async with open_context(settings(tmp_path, **KEY), database) as opened:
            context = replace(opened, worker=worker)
            assert await calendar_job.update(context) is (worker == "w1")
            assert not await calendar_job.update(context)
            async with database.begin() as connection:
                await leases.release(connection, ["calendar"], holder=worker)
    assert rows(database_url, DATES) == [("key", "openrouter", 2, 3)]
    [(sentence,)] = rows(database_url, TOLD)
    assert sentence.startswith("Coming up: openrouter: the key expires in 2 days, ")
    await read(database, at=NOW + timedelta(seconds=1), expires_at=NOW + 20 * DAY)
    async with open_context(settings(tmp_path, **KEY), database) as context:
        assert await calendar_job.update(context)
    assert rows(database_url, DATES) == [("key", "openrouter", 20, 30)]
    await read(database, at=NOW + timedelta(seconds=2))  # it no longer expires
    async with open_context(settings(tmp_path, **KEY), database) as context:
        assert not await calendar_job.update(context)
    assert rows(database_url, DATES) == []


async def test_credit_lasts_as_long_as_the_last_day_says(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    midnight = NOW.replace(hour=0, minute=0, second=0)
    for at, usd in ((midnight - DAY, "0"), (midnight - timedelta(seconds=1), "6")):
        await read(database, at=at, spent_today_usd=Decimal(usd), remaining_usd=Decimal(50))
    await read(database, remaining_usd=Decimal(0), spent_today_usd=Decimal(0))
    await read(database, at=NOW + timedelta(seconds=1), state=AccountState.FAILING)
    async with open_context(settings(tmp_path, **KEY), database) as context:
        assert not await calendar_job.update(context), "a failed reading says nothing"
        await read(
            database, at=NOW + timedelta(seconds=2), remaining_usd=Decimal(12),
            spent_today_usd=Decimal(3),
        )  # fmt: skip
        assert await calendar_job.update(context)
    [(kind, scope, _, told)] = rows(database_url, DATES)
    assert (kind, scope) == ("credit", "openrouter")
    assert told in (1, 3, 14)  # between $3 and $9 were spent within the last 24 hours
    assert "$12.00 of credit is used up at $" in rows(database_url, TOLD)[0][0]


async def test_key_and_certificate_of_one_day_are_one_message(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ours = authority(tmp_path)
    await read(database, expires_at=NOW + 2 * DAY)
    async with (
        scripted_server(head(), LAST, tls=ours.server("good", days=2)) as server,
        open_context(settings(tmp_path, **KEY), database) as opened,
    ):
        context = secure(opened, server.url, ours)
        assert await calendar_job.update(context)
        assert not await calendar_job.update(context)
        assert server.requests == [], "a handshake only"
    assert {row[:3] for row in rows(database_url, DATES)} == {
        ("key", "openrouter", 2),
        ("certificate", "rag", 2),
    }
    [(sentence,)] = rows(database_url, TOLD)
    assert "openrouter: the key expires in " in sentence
    assert "rag: the certificate expires in " in sentence


async def test_a_renewed_certificate_replaces_the_old_one_and_a_failure_changes_nothing(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ours, old = authority(tmp_path), "UPDATE calendar_entries SET seen_at = now() - interval '25 h'"
    async with open_context(settings(tmp_path), database) as opened:
        async with scripted_server(head(), LAST, tls=ours.server("old", days=2)) as server:
            context = secure(opened, server.url, ours)
            await calendar_job.update(context)
        before = rows(database_url, DATES)
        rows(database_url, old + " RETURNING 1")
        assert not await calendar_job.update(context), "nothing listens"
        assert rows(database_url, DATES) == before
        context.state.certificates_tried_at.clear()
        renewed = ours.server("new", days=60)
        async with scripted_server(head(), LAST, tls=renewed) as server:
            assert not await calendar_job.update(secure(opened, server.url, ours))
    assert rows(database_url, DATES) == [("certificate", "rag", 60, None)]


async def test_a_removed_target_has_no_date(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ours = authority(tmp_path)
    async with open_context(settings(tmp_path), database) as opened:
        async with scripted_server(head(), LAST, tls=ours.server("good", days=60)) as server:
            await calendar_job.update(secure(opened, server.url, ours))
        assert len(rows(database_url, DATES)) == 1
        await calendar_job.update(opened)  # its target is reached by http
    assert rows(database_url, DATES) == []


async def test_a_muted_date_is_told_after_the_mute(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await read(database, expires_at=NOW + 2 * DAY)
    mute = (
        "INSERT INTO mutes (rule, target, reason, muted_by, until) VALUES "
        "('calendar', 'all', 'r', 'me', now() + interval '1 hour') RETURNING 1"
    )
    rows(database_url, mute)
    async with open_context(settings(tmp_path, **KEY), database) as context:
        assert not await calendar_job.update(context)
        rows(database_url, "UPDATE mutes SET until = now() RETURNING 1")
        assert await calendar_job.update(context)


async def test_one_worker_keeps_the_calendar(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await read(database, expires_at=NOW + 2 * DAY)
    async with database.begin() as connection:
        assert await leases.hold(connection, "calendar", holder="w2", span=timedelta(minutes=9))
    async with open_context(settings(tmp_path, **KEY), database) as context:
        assert not await calendar_job.update(context)
    assert rows(database_url, DATES) == []


MODELS = "SELECT kind, model, notified_days FROM report.calendar ORDER BY ends_at"
AGED = (
    "UPDATE model_listings SET at = at - interval '25 h', "
    "checked_at = checked_at - interval '25 h' RETURNING 1"
)


class NextDay(WorkerContext):
    """A worker a day later."""

    __slots__ = ()

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC) + timedelta(hours=25)


RETIRED = (datetime.now(UTC) + 10 * DAY).date()


def offer(prompt: str, **changes: Any) -> bytes:
    pricing = {"prompt": prompt, "completion": "0.0000003"}
    return reply(200, {"data": [{"id": LLAMA, "pricing": pricing} | changes, {"id": "other/m"}]})


async def test_a_price_change_shows_old_new_and_the_cost_of_a_day_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    lists = [offer("0.00000008"), offer("0.0000001"), offer("0.0000001")]
    at = NOW - timedelta(minutes=30)
    seen = [
        observation(slot=at, started_at=at, query=query, model_detected=LLAMA,
                    prompt_tokens=2000, answer_tokens=500)
        for query in ("hi", "kbli")
    ]  # fmt: skip
    async with database.begin() as connection:
        await observations.add(connection, seen)
    async with provider(lambda asked: lists.pop(0)) as served:
        configured = settings(tmp_path, OPENROUTER_BASE_URL=served.address)
        for kind, news in ((WorkerContext, False), (WorkerContext, True), (NextDay, False)):
            async with open_context(configured, database) as opened:
                context = kind(**{one.name: getattr(opened, one.name) for one in fields(opened)})
                assert await model_polling.poll(context) == 1
                assert await calendar_job.update(context) is news
            if not news:
                rows(database_url, AGED)
    [(sentence,)] = rows(database_url, TOLD)
    # 2 probes of 2,000 and 500 tokens; $0.08 and $0.30 per million tokens.
    assert sentence == (
        "Changed: Llama 4 Scout at openrouter: the list price changed: "
        "input $0.08 → $0.10 per million tokens. "
        "A day like the last one costs $0.0007, before $0.00062."
    )


async def test_an_announced_end_and_a_lost_model_are_told_and_a_withdrawn_end_is_cancelled(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    gone = reply(200, {"data": [{"id": "other/m"}]})
    lists = [offer("0.00000008", expiration_date=str(RETIRED)), offer("0.00000008"), gone, gone]
    told = []
    async with (
        provider(lambda asked: lists.pop(0)) as served,
        open_context(settings(tmp_path, OPENROUTER_BASE_URL=served.address), database) as context,
    ):
        for _ in range(4):
            assert await model_polling.poll(context) == 1
            told.append((await calendar_job.update(context), rows(database_url, MODELS)))
            rows(database_url, AGED)
    assert told == [
        (True, [("model", LLAMA, 14)]),
        (False, []),
        (False, []),  # missing once
        (True, [("unlisted", LLAMA, 0)]),
    ]


async def test_a_price_with_tiers_is_compared_and_each_prompt_costs_its_own_tier(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    def tiered(above: str) -> bytes:
        base = {"prompt": "0.000001", "completion": "0.000002", "input_cache_write": "0.000001"}
        return offer("", pricing=base | {
            "overrides": [{"min_prompt_tokens": 200_000, "prompt": above}]
        })  # fmt: skip

    at = NOW - timedelta(minutes=30)
    seen = [
        observation(slot=at, started_at=at, query=query, model_detected=LLAMA,
                    prompt_tokens=prompt, answer_tokens=0)
        for query, prompt in (("hi", 100_000), ("kbli", 300_000))
    ]  # fmt: skip
    async with database.begin() as connection:
        await observations.add(connection, seen)
    lists = [tiered("0.000002"), tiered("0.000004")]
    async with (
        provider(lambda asked: lists.pop(0)) as served,
        open_context(settings(tmp_path, OPENROUTER_BASE_URL=served.address), database) as context,
    ):
        for news in (False, True):
            assert await model_polling.poll(context) == 1
            assert await calendar_job.update(context) is news
            rows(database_url, AGED)
    assert rows(database_url, TOLD)[0][0].endswith(
        "the list price changed: from 200,000 prompt tokens on input $2.00 → $4.00 per million "
        "tokens. A day like the last one costs $1.30, before $0.70."
    )
