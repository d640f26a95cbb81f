"""What gets worse, returns or ends makes a sound in every channel; a mere correction does not.

The real plan, the real outbox and the real slack-sdk against a strict local Slack.
"""

import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.domain import Delivery, Notice, Sent, Verdict, VerdictState
from monitor.incidents.planner import plan
from monitor.incidents.state_machine import ReminderPolicy
from monitor.notifications import ChannelCheck, ConsoleNotifier, Notifier
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.webhook import SlackWebhook
from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from monitor.storage import Database
from monitor.worker import delivery_job, evaluation
from monitor.worker.context import WorkerContext
from monitor.worker.incident_memory import IncidentMemory
from tests.contract.open_context import deliver, only_channel, open_context, settings
from tests.e2e.worker_process import rows
from tests.probe_notation import INHIBITIONS, NOON

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SCOPES = {"key": "openrouter", "spend": "all", "probe_budget": "all"}

Judged = tuple[timedelta, str]  # after how long, and marks: `+ttft` breaks, `-ttft` is well


def verdict(mark: str) -> Verdict:
    """`+spend2` is the second doubling of a day."""
    rule, once = mark[1:].rstrip("0123456789"), None
    if rule == "spend" and mark[0] == "+":
        once = f"2026-11-23 ×{mark[6:] or 1}"
    reported = "breaks" if mark[0] == "+" else "is well"
    value: float | Decimal = Decimal(3) if rule in ("spend", "probe_budget") else 3.0
    return Verdict(
        rule=rule,
        scope=SCOPES.get(rule, "rag"),
        value=value,
        limit=1.0,
        once=once,
        state=VerdictState.BREACH if mark[0] == "+" else VerdictState.OK,
        because=f"{rule} {reported}.",
    )


class Everywhere(Notifier):
    """All three channels at once, by what the worker gives a bot; and what was heard by each."""

    def __init__(self, bot: SlackServer, webhook: SlackServer) -> None:
        self.bot, self.webhook, self.printed = bot, webhook, io.StringIO()
        self.first: Notifier = SlackBot(bot.token, "#alerts", base_url=bot.api_url)
        self.others = SlackWebhook(webhook.webhook_url), ConsoleNotifier(self.printed)

    async def send(
        self, notice: Notice, *, reference: str | None = None, runbook_url: str | None = None
    ) -> Delivery:
        for other in self.others:
            delivery = await other.send(notice, reference=reference, runbook_url=runbook_url)
            assert isinstance(delivery, Sent)
        return await self.first.send(notice, reference=reference, runbook_url=runbook_url)

    async def check(self) -> ChannelCheck:
        return await self.first.check()

    def sounds(self) -> dict[str, list[str]]:
        """The first line of each sound, by channel."""
        printed = self.printed.getvalue().splitlines()
        return {
            "bot": _sounds(self.bot),
            "webhook": _sounds(self.webhook),
            "console": [line for line in printed if re.match("[A-Z ]+ #", line)],
        }


def _sounds(inbox: SlackServer) -> list[str]:
    """New messages and broadcast replies, as they read when they came."""
    aloud = [
        (posted.ts, posted.was[0] if posted.was else posted.text)
        for message in inbox.messages
        for posted in (message, *(reply for reply in message.thread if reply.broadcast))
    ]
    return [html.unescape(reported).split("\n")[0] for _, reported in sorted(aloud)]


@pytest.fixture
def side(monkeypatch: pytest.MonkeyPatch) -> Iterator[Everywhere]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with SlackServer() as bot, SlackServer() as webhook:
        yield Everywhere(bot, webhook)


class Telling:
    """A worker's plan and delivery, at times of our choosing."""

    def __init__(self, context: WorkerContext) -> None:
        self.watch, self.now = context, NOON

    async def judge(self, judged: Judged, *, send: bool = True) -> None:
        later, marks = judged
        self.now += later
        async with self.watch.database.begin() as connection:
            latest = await IncidentMemory().latest(connection)
            found = [verdict(mark) for mark in marks.split()]
            steps = plan(
                latest, found, inhibitions=INHIBITIONS, policy=ReminderPolicy(), now=self.now
            )
            await evaluation._apply(connection, steps, latest, self.watch.takers)
        if send:
            await deliver(self.watch)

    async def play(self, history: Sequence[Judged]) -> None:
        for judged in history:
            await self.judge(judged)


Worker = Callable[[Notifier], AbstractAsyncContextManager[WorkerContext]]


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Worker:
    return lambda notifier: open_context(settings(tmp_path), database, notifier)


BROKE, GOES_ON = (MINUTE, "+ttft"), (MINUTE, "+ttft")
TWO = [(MINUTE, "+fallback"), (MINUTE, "+fallback +ttft")]
CALM = [(MINUTE, mark) for mark in ("+down", "-down", "+down", "-down")]  # 15 minutes of it
TABLE: list[tuple[str, list[Judged], Judged, str | None]] = [
    ("opens", [], (MINUTE, "+ttft"), "FIRING #1 ttft"),
    ("goes on", [BROKE], GOES_ON, None),
    ("ends", [BROKE], (MINUTE, "-ttft"), "RESOLVED #1 ttft"),
    ("returns", [BROKE, (MINUTE, "-ttft")], (MINUTE, "+ttft"), "STILL FIRING #1 ttft"),
    ("ends again", [BROKE, (MINUTE, "-ttft"), (MINUTE, "+ttft")], (HOUR, "-ttft"),
     "RESOLVED #1 ttft"),
    ("is reminded of", [BROKE], (5 * HOUR, "+ttft"), "STILL FIRING #1 ttft"),
    ("is reminded of daily", [BROKE, (5 * HOUR, "+ttft")], (25 * HOUR, "+ttft"),
     "STILL FIRING #1 ttft"),
    ("a symptom joins", TWO[:1], TWO[1], "STILL FIRING #1 fallback"),
    *((f"{cause} joins {symptom}", [(MINUTE, f"+{symptom}")], (MINUTE, f"+{symptom} +{cause}"),
       f"STILL FIRING #1 {cause}")
      for cause, symptom in (("down", "ttft"), ("down", "fallback"), ("key", "ttft"),
                             ("key", "fallback"), ("fallback", "ttft"),
                             ("probe_budget", "no_data"), ("key", "spend"))),
    *((f"{cause} joins model_changed", [(MINUTE, "+model_changed")],
       (MINUTE, f"+model_changed +{cause}"), f"STILL FIRING #1 {cause}")
      for cause in ("down", "key", "fallback")),
    ("ttft joins model_changed", [(MINUTE, "+model_changed")], (MINUTE, "+model_changed +ttft"),
     "STILL FIRING #1 model_changed"),
    ("a part ends first", TWO, (HOUR, "+fallback -ttft"), None),
    ("the part returns", [*TWO, (HOUR, "+fallback -ttft")], (MINUTE, "+fallback +ttft"),
     "STILL FIRING #1 fallback"),
    ("the cause ends first", TWO, (HOUR, "-fallback +ttft"), None),
    ("the cause returns", [*TWO, (HOUR, "-fallback +ttft")], (MINUTE, "+fallback +ttft"),
     "STILL FIRING #1 fallback"),
    ("outlives its cause", [*TWO, (HOUR, "-fallback +ttft")], (HOUR, "+ttft"),
     "STILL FIRING #1 ttft"),
    ("a part is over for long", [*TWO, (HOUR, "+fallback -ttft")], (HOUR, "+fallback"),
     "STILL FIRING #1 fallback"),
    ("a part ends, the rest with its day", [(MINUTE, "+key"), (MINUTE, "+key +spend1")],
     (HOUR, "-key +spend1"), "STILL FIRING #1 spend"),
    ("all of it ends", TWO, (HOUR, "-fallback -ttft"), "RESOLVED #1 fallback"),
    ("doubles", [(MINUTE, "+spend1")], (MINUTE, "+spend2"), "STILL FIRING #1 spend"),
    ("a day ends", [(MINUTE, "+spend1")], (HOUR, "-spend"), None),
    # People read `#1 fallback`: its row is the second, its number for them is the first.
    ("the part returns alone",
     [(MINUTE, "+ttft"), (MINUTE, "+ttft +fallback"), (HOUR, "-ttft -fallback")],
     (MINUTE, "+fallback"), "STILL FIRING #1 fallback"),
    ("the rest of it returns, too",
     [(MINUTE, "+ttft"), (MINUTE, "+ttft +fallback"), (HOUR, "-ttft -fallback"),
      (MINUTE, "+fallback")], (MINUTE, "+fallback +ttft"), "STILL FIRING #1 fallback"),
    ("joins one in its calm", CALM, (MINUTE, "-down +fallback"), "STILL FIRING #1 fallback"),
    ("is in its calm", CALM[:-1], CALM[-1], None),
    ("returns after its calm was told", [*CALM, (MINUTE, "-down +fallback")],
     (MINUTE, "+down +fallback"), "STILL FIRING #1 down"),
    ("returns in its calm", CALM, (MINUTE, "+down"), None),
    ("returns with something new",
     [(MINUTE, "+ttft"), (MINUTE, "+ttft +fallback"), (HOUR, "-ttft -fallback")],
     (MINUTE, "+fallback +down"), "STILL FIRING #1 down"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("history", "last", "sound"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
async def test_every_change_for_the_worse_makes_one_sound(
    worker: Worker, side: Everywhere, history: list[Judged], last: Judged, sound: str | None
) -> None:
    async with worker(side) as context:
        group = Telling(context)
        await group.play(history)
        before = side.sounds()
        await group.judge(last)
    for channel, received in side.sounds().items():
        new = [reported.split(" · ")[0] for reported in received[len(before[channel]) :]]
        assert (channel, new) == (channel, [sound] if sound else [])
        assert sum(reported.startswith("FIRING #1 ") for reported in received) == 1


async def test_what_returns_after_its_end_is_a_new_message_and_edits_follow_it(
    worker: Worker, side: Everywhere
) -> None:
    """The old message goes on saying that it was resolved then."""
    async with worker(side) as context:
        await Telling(context).play([BROKE, (MINUTE, "-ttft"), (MINUTE, "+ttft"), (HOUR, "-ttft")])
    first, second = side.bot.messages
    assert first.text.startswith("RESOLVED #1 ttft · rag: Over after 1 min.")
    assert [reported.split(":")[0] for reported in second.was] == ["STILL FIRING #1 ttft · rag"]
    assert second.was[0].startswith("STILL FIRING #1 ttft · rag: Occurred again: ttft breaks.")
    assert second.text.startswith("RESOLVED #1 ttft · rag")


async def test_what_is_new_stands_in_the_first_line(worker: Worker, side: Everywhere) -> None:
    async with worker(side) as context:
        await Telling(context).play(TWO)
    for received in side.sounds().values():
        assert received[-1].endswith("· rag: fallback breaks. Now also ttft: ttft breaks.")


HEARD = "SELECT number, told_at IS NOT NULL FROM incidents ORDER BY number"


async def test_when_it_was_received_is_stored_for_every_part(
    worker: Worker, side: Everywhere, database_url: str
) -> None:
    async with worker(side) as context:
        group = Telling(context)
        await group.judge((MINUTE, "+ttft"))
        await group.judge((MINUTE, "+ttft +down"), send=False)
        assert rows(database_url, HEARD) == [(1, True), (2, False)]
        await deliver(context)
    assert rows(database_url, HEARD) == [(1, True), (2, True)]
    assert rows(database_url, "SELECT bool_and(told_after_s >= detected_after_s) AND "
                "bool_and(detected_after_s >= 0) FROM report.incidents") == [(True,)]  # fmt: skip


async def test_a_reply_that_got_lost_is_sent_again_with_its_edit_and_nothing_is_lost(
    worker: Worker, side: Everywhere, database_url: str
) -> None:
    """Killed or refused between the edit and the reply: the whole is done again."""
    async with worker(side) as context:
        group = Telling(context)
        await group.judge((MINUTE, "+ttft"))
        side.bot.script([SlackReplyStep(), SlackReplyStep(status=500, body="")])
        await group.judge((MINUTE, "+ttft +down"))
        assert rows(database_url, HEARD) == [(1, True), (2, False)], "an edit is not audible"
        async with context.database.begin() as connection:
            await connection.execute(text("UPDATE outbox SET due_at = now()"))
        await deliver(context)
    [message] = side.bot.messages
    aloud = [reply.text.split(":")[0] for reply in message.thread if reply.broadcast]
    assert aloud == ["STILL FIRING #1 down · rag"]
    assert rows(database_url, HEARD) == [(1, True), (2, True)]


@pytest.mark.parametrize("killed", ["before sending", "after sending"])
async def test_a_worker_killed_while_it_delivers_loses_no_sound(
    worker: Worker, side: Everywhere, database_url: str, killed: str
) -> None:
    """At least once: what may have arrived is repeated, and says that it may be a repeat."""
    async with worker(side) as context:
        group = Telling(context)
        await group.play([BROKE, (MINUTE, "-ttft")])
        await group.judge((MINUTE, "+ttft"), send=False)
        item = await delivery_job._leased(context, only_channel(context))
        assert item is not None
        if killed == "after sending":
            await delivery_job._send(context, only_channel(context), item)
        async with context.database.begin() as connection:  # its lease ran out
            await connection.execute(text("UPDATE outbox SET due_at = now()"))
        await deliver(context)
    for received in side.sounds().values():
        returned = [
            reported for reported in received if reported.startswith("STILL FIRING #1 ttft")
        ]
        assert len(returned) == (2 if killed == "after sending" else 1)
    assert rows(database_url, "SELECT count(*) FROM outbox WHERE settled_at IS NULL") == [(0,)]
