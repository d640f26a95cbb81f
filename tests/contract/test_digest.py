"""The digest job on a real database: counted from rows and views, written once a day."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from monitor.domain import StampSource
from monitor.notifications import Notifier
from monitor.notifications.slack.bot import SlackBot
from monitor.simulator.slack_server import SlackServer
from monitor.storage import Database, schema
from monitor.storage import report_data as read_digest
from monitor.worker import delivery_job, digest_job, report_page
from monitor.worker.context import WorkerContext
from tests.contract.open_context import deliver, open_context, settings
from tests.contract.past_day import (
    EIGHT,
    YESTERDAY,
    day_rows,
    fell_at,
    open_incident,
    roll_up_database,
    row_at,
    run,
    sql,
    store,
)

ONE = YESTERDAY + timedelta(hours=13)  # an hour after the last row
AT_ONE = {"MONITOR_DIGEST__AT": "13:00"}


class Digester:
    """The job, run at some time, its worker configured as given."""

    def __init__(self, database: Database, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.database, self._home, self._patch = database, home, patch

    async def run(
        self, now: datetime, notifier: Notifier | None = None, *, send: bool = False,
        **environ: str,
    ) -> bool:  # fmt: skip
        self._patch.setattr(WorkerContext, "now", staticmethod(lambda: now))
        configured = settings(self._home, **(AT_ONE | environ))
        async with open_context(configured, self.database, notifier) as context:
            news = await digest_job.digest(context)
            if send:
                await deliver(context)
            return news

    async def told(self) -> Sequence[dict[str, Any]]:
        statement = "SELECT notice FROM outbox WHERE incident IS NULL ORDER BY sequence"
        return [row[0] for row in await sql(self.database, statement)]


@pytest.fixture
def digester(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digester:
    return Digester(database, tmp_path, monkeypatch)


async def test_a_day_is_counted_from_what_was_stored(digester: Digester) -> None:
    await store(digester.database, *day_rows())
    await open_incident(digester.database)
    await roll_up_database(digester.database)
    assert await digester.run(ONE)
    [notice] = await digester.told()
    assert notice["sentence"] == (
        "TTFT 1,267 ms of 1,200 ms, fallback 33.3 %, spent not known, no incident open."
    )
    facts = notice["facts"]
    assert facts["TTFT"] == (  # rounds of 800, 2200 and 800 ms, two each
        "mean of 6 rounds 1,267 ms of 1,200 ms, p95 2,400 ms, 4 of 12 probes over"
    )
    assert facts["Models"] == ("Llama 4 Scout 66.7 %, Claude Haiku 4.5 (fallback) 33.3 %")
    assert facts["Answers"] == (
        "expected 66.7 %, fallback 33.3 %, changed 0 %, disputed 0 %, unknown 0 %"
    )
    assert facts["Spend today so far"].startswith("$0.0168 of $2.00; meters: probes $0.0056, ")
    assert facts["Incidents"] == (
        "opened 1 (#1 fallback · rag); resolved 1 (#1 fallback · rag); open none"
    )
    assert facts["Delivery"] == "0 messages waiting, 0 not delivered"


async def test_the_day_after_knows_what_was_spent_and_saved(digester: Digester) -> None:
    await store(digester.database, *day_rows())
    await run_in(digester.database, "INSERT INTO report_targets (target, every_s, daily_queries, "
                 "since) VALUES ('rag', 1800, 48, :at)", at=EIGHT)  # fmt: skip
    await roll_up_database(digester.database)
    assert await digester.run(YESTERDAY + timedelta(hours=33), MONITOR_DIGEST__AT="09:00")
    [notice] = await digester.told()
    assert f"spent $0.0168 of $2.00 on {YESTERDAY:%Y-%m-%d}" in notice["sentence"]
    # 12 answers for $0.0056; all by Haiku they would have cost $0.012
    assert notice["facts"]["Saved vs. fallback only"].startswith("$0.0064 on yesterday's probes")
    assert notice["facts"]["Monitor health"].split(", ")[0].endswith("rounds missed")


async def test_spans_degraded_samples_and_lost_messages_are_distinguished(
    digester: Digester,
) -> None:
    early = ONE - timedelta(days=1)
    await store(
        digester.database,
        fell_at(early - timedelta(seconds=1)),  # a moment too old
        row_at(early),
        row_at(EIGHT, ttft_ms=9000.0, stamp=StampSource.DEGRADED),
        row_at(EIGHT, "kbli", origin="manual", ttft_ms=9000.0),
    )
    await run_in(
        digester.database,
        "INSERT INTO outbox (id, channel, status, notice, due_at, settled_at, result) VALUES "
        "(gen_random_uuid(), 'console', 'FIRING', '{}', :at, :at, 'dead'), "
        "(gen_random_uuid(), 'console', 'FIRING', '{}', :at, NULL, NULL)",
        at=EIGHT,
    )
    assert await digester.run(ONE)
    facts = (await digester.told())[-1]["facts"]
    assert facts["TTFT"].startswith("mean of 1 round 600 ms of 1,200 ms, p95 600 ms, 0 of 1 probe ")
    assert facts["Models"] == "Llama 4 Scout 100 %"
    assert ", 50 % degraded, " in facts["Monitor health"]
    assert facts["Delivery"] == "1 message waiting, 1 not delivered"


@pytest.mark.parametrize(
    ("first", "news"),
    [(ONE - timedelta(seconds=1), True), (ONE, False), (None, False)],
)
async def test_before_anything_was_observed_there_is_nothing_to_report(
    digester: Digester, first: datetime | None, news: bool
) -> None:
    if first is not None:
        await store(digester.database, row_at(first))
    assert await digester.run(ONE + timedelta(hours=1)) is news


async def test_it_is_written_once_whichever_worker_comes_back_and_however_often(
    digester: Digester,
) -> None:
    await store(digester.database, *day_rows())
    late = ONE + timedelta(hours=2)
    both = await asyncio.gather(digester.run(late), digester.run(late))
    assert sorted(both) == [False, True]
    assert not await digester.run(late + timedelta(minutes=1))
    assert len(await digester.told()) == 1
    assert await digester.run(ONE + timedelta(days=1))
    assert len(await digester.told()) == 2


async def test_switched_off_or_too_late_it_is_not_reported(digester: Digester) -> None:
    await store(digester.database, *day_rows())
    assert not await digester.run(ONE, MONITOR_DIGEST__ENABLED="false")
    assert not await digester.run(ONE + timedelta(hours=12))
    assert await digester.told() == []


async def test_slack_takes_it(digester: Digester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    await store(digester.database, *day_rows())
    with SlackServer() as inbox:
        bot = SlackBot(inbox.token, "#alerts", base_url=inbox.api_url)
        assert await digester.run(ONE, bot, send=True)
        [message] = inbox.messages
    assert message.text.startswith("NOTICE digest · all: TTFT 1,267 ms of 1,200 ms, ")
    assert message.files == []


async def run_in(database: Database, statement: str, **values: Any) -> None:
    async with database.begin() as connection:
        await run(connection, statement, **values)


async def test_the_role_that_runs_the_daemon_may_write_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert schema.ensure(database_url) is None
    owner, writer = Database(database_url), Database(as_user(database_url, "monitor_writer"))
    await store(owner, *day_rows())
    digester = Digester(writer, tmp_path, monkeypatch)
    assert await digester.run(ONE)
    async with open_context(settings(tmp_path), writer) as context:
        page = await report_page.page(
            context.database, context.settings, length=delivery_job.SPAN, now=context.now()
        )
    assert page.targets[0].name == "rag", "and what charts are drawn from, too"
    await owner.close()
    await writer.close()


def as_user(url: str, user: str) -> str:
    return make_url(url).set(username=user).render_as_string(hide_password=False)


async def test_an_incident_goes_by_the_number_it_was_announced_with(digester: Digester) -> None:
    await store(digester.database, *day_rows())
    await open_incident(digester.database)
    await run_in(
        digester.database,
        "INSERT INTO incidents (rule, target, opened_at, last_breach_at, last_told_at, because, "
        "observations, facts, announced_as) "
        "VALUES ('ttft', 'rag', now(), now(), now(), 'slow', '{}', '{}', 1)",
    )
    await roll_up_database(digester.database)
    assert await digester.run(ONE)
    [notice] = await digester.told()
    assert "open 1 (#1 ttft · rag)" in notice["facts"]["Incidents"]
    await run_in(
        digester.database, "UPDATE incidents SET recovering_since = now() WHERE number = 1"
    )
    await run_in(
        digester.database,
        "INSERT INTO incidents (rule, target, opened_at, last_breach_at, last_told_at, because, "
        "observations, facts, part_of, announced_as) "
        "VALUES ('fallback', 'rag', now(), now(), now(), 'fell', '{}', '{}', 1, 1)",
    )
    async with digester.database.begin() as connection:
        found = await read_digest.incidents(connection, since=ONE)
    assert [(one.number, one.rule, one.recovering_since) for one in found] == [(1, "ttft", None)]
