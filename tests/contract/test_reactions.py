"""Reactions on an incident's message: acknowledged, muted, charted; each once, and undone."""

import asyncio
import logging
import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.notifications import (
    Channel,
    ChannelFilter,
    ConsoleNotifier,
)
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.webhook import SlackWebhook
from monitor.simulator.slack_server import SlackReplyStep
from monitor.storage import Database, incident_rows
from monitor.worker.reaction_polling import CHART_TRIES, MOST_MESSAGES, NAME_TRIES
from tests.contract.cli import Ended, call
from tests.contract.incident_answers import (
    ANA,
    BELL,
    BEN,
    CHART,
    DEPLOY,
    EYES,
    HOUR,
    MINUTE,
    AnsweredSlackIncident,
    local_slack,
    slack_bot,
)
from tests.contract.open_context import deliver, open_context, settings

Opened = Callable[..., AbstractAsyncContextManager[AnsweredSlackIncident]]
ACKNOWLEDGED = "Acknowledged by @ana; reminders stop."
DAY, OK = timedelta(days=1), SlackReplyStep()


@pytest.fixture
def opened(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A worker after `+ttft` was judged and its message was posted."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    @asynccontextmanager
    async def answering(*marks: str, **given: Any) -> AsyncIterator[AnsweredSlackIncident]:
        with local_slack(**given) as slack:
            async with open_context(settings(tmp_path), database, slack_bot(slack)) as context:
                found = AnsweredSlackIncident(context, slack)
                await found.judge(*(marks or ["+ttft"]))
                yield found

    return answering


async def acknowledged(found: AnsweredSlackIncident) -> list[tuple[Any, ...]]:
    return await found.rows(
        "SELECT number, acknowledged_by, acknowledged_at IS NOT NULL FROM report.incidents "
        "ORDER BY number"
    )


async def test_eyes_acknowledge_and_stop_reminders_but_not_the_end(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, EYES)
        await found.poll()
        assert found.replies() == [ACKNOWLEDGED]
        assert await acknowledged(found) == [(1, "ana", True)]
        await found.judge("+ttft", later=5 * HOUR)
        await found.judge("+ttft", later=DAY)
        await found.judge("-ttft", later=HOUR)
        assert found.first_lines() == ["FIRING #1 ttft · rag", "RESOLVED #1 ttft · rag"]
        assert await acknowledged(found) == [(1, "ana", True)], "as it was until its end"


async def test_what_joins_an_acknowledged_incident_is_announced(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, EYES)
        await found.poll()
        await found.judge("+ttft", "+fallback")
        await found.judge("+ttft", "+fallback", later=DAY)
        assert found.first_lines() == ["FIRING #1 ttft · rag", "STILL FIRING #1 fallback · rag"]
        assert await acknowledged(found) == [(1, "ana", True), (2, "ana", True)]


async def test_eyes_taken_back_resume_the_reminders(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, EYES)
        await found.poll()
        found.inbox.react(ANA, EYES, remove=True)
        await found.poll()
        assert found.replies()[1:] == ["No longer acknowledged by @ana; reminders resume."]
        assert await acknowledged(found) == [(1, None, False)]
        await found.judge("+ttft", later=5 * HOUR)
        assert found.first_lines()[1:] == ["STILL FIRING #1 ttft · rag"]
        found.inbox.react(ANA, EYES)
        await found.poll()
        assert found.replies()[2:] == [ACKNOWLEDGED], "a second time is an answer of its own"
        assert await found.rows("SELECT nth FROM incident_actions ORDER BY id") == [(1,), (2,)]


async def test_two_people_acknowledge_and_the_last_to_leave_resumes_reminders(
    opened: Opened,
) -> None:
    async with opened() as found:
        for person, remove in ((ANA, False), (BEN, False), (ANA, True), (BEN, True)):
            found.inbox.react(person, EYES, remove=remove)
            await found.poll()
        assert found.replies() == [
            ACKNOWLEDGED,
            "Also acknowledged by @Ben Okafor.",
            "No longer acknowledged by @ana; still acknowledged by @Ben Okafor.",
            "No longer acknowledged by @Ben Okafor; reminders resume.",
        ]


async def test_the_bell_mutes_rule_and_target_for_four_hours(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, BELL)
        await found.poll()
        [mute] = await found.rows("SELECT rule, target, muted_by, until - muted_at FROM mutes")
        assert mute == ("ttft", "rag", "@ana", timedelta(hours=4))
        [reply] = found.replies()
        assert reply.startswith("Muted by @ana until ")
        assert reply.endswith(" UTC: ttft · rag. Remove 🔕 to unmute.")
        await found.judge("-ttft")
        assert found.first_lines() == ["FIRING #1 ttft · rag"]
        found.inbox.react(ANA, BELL, remove=True)
        await found.poll()
        assert found.replies()[1:] == ["Unmuted by @ana: ttft · rag."]
        await found.judge("-ttft")
        assert found.first_lines()[1:] == ["RESOLVED #1 ttft · rag"]


async def test_one_bell_of_two_taken_back_leaves_the_other_mute(opened: Opened) -> None:
    async with opened() as found:
        for person in (ANA, BEN):
            found.inbox.react(person, BELL)
        await found.poll()
        found.inbox.react(ANA, BELL, remove=True)
        await found.poll()
        assert found.replies()[-1].startswith(
            "@ana ended their mute of ttft · rag; another mute lasts until "
        )


async def test_unmuting_by_command_wins_over_a_bell_that_still_stands(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, BELL)
        await found.poll()
        async with found.context.database.begin() as connection:
            assert await incident_rows.end(connection, rule="ttft", target="rag", by="ben") == 1
        for _ in range(2):
            await found.poll()
        found.polling = found.started()
        await found.poll()
        async with found.context.database.begin() as connection:
            assert not await incident_rows.in_force(connection)
        found.inbox.react(ANA, BELL, remove=True)
        await found.poll()
        assert len(found.replies()) == 1, "nothing was left to undo"
        found.inbox.react(ANA, BELL)
        await found.poll()
        assert len(found.replies()) == 2, "a new bell mutes again"


async def test_a_mute_by_command_outlasts_a_bell(opened: Opened) -> None:
    async with opened() as found:
        async with found.context.database.begin() as connection:
            await incident_rows.add(
                connection, rule="ttft", target="rag", reason="work", muted_by="ben",
                until=found.now + DAY,
            )  # fmt: skip
        found.inbox.react(ANA, BELL)
        await found.poll()
        found.inbox.react(ANA, BELL, remove=True)
        await found.poll()
        async with found.context.database.begin() as connection:
            assert [mute.muted_by for mute in await incident_rows.in_force(connection)] == ["ben"]


async def test_a_bell_on_a_joined_cause_mutes_what_is_shown_and_what_leads(opened: Opened) -> None:
    async with opened() as found:
        await found.judge("+ttft", "+fallback")
        found.inbox.react(ANA, BELL)
        await found.poll()
        assert await found.rows("SELECT rule, target FROM mutes ORDER BY id") == [
            ("ttft", "rag"),
            ("fallback", "rag"),
        ]


async def test_the_chart_is_posted_once_for_each_time_it_is_asked_for(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, CHART)
        for _ in range(3):
            await found.poll()
        [(name, picture)] = found.posted().files
        assert name == "#1 ttft · rag, the last 6 h"
        assert picture.startswith(b"\x89PNG")
        assert found.replies() == []
        found.inbox.react(ANA, CHART, remove=True)
        await found.poll()
        found.inbox.react(ANA, CHART)
        await found.poll()
        assert len(found.posted().files) == 2
        done = "SELECT done_at IS NOT NULL, failure FROM incident_actions ORDER BY id"
        assert await found.rows(done) == [(True, None)] * 2


async def test_a_chart_that_cannot_be_posted_is_answered_with_the_reason(opened: Opened) -> None:
    async with opened(scopes=("chat:write", "reactions:read", "users:read")) as found:
        found.inbox.react(ANA, CHART)
        for _ in range(2):
            await found.poll()
        assert found.replies() == [
            "The chart for @ana could not be posted: Slack error missing_scope."
        ]


async def test_a_chart_is_tried_again_and_given_up_after_some_tries(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, CHART)
        found.inbox.script([500] * CHART_TRIES)
        for _ in range(CHART_TRIES - 1):
            await found.poll()
            assert found.replies() == []
            found.polling._chart_not_before = 0.0
        await found.poll()
        assert found.replies() == [
            "The chart for @ana could not be posted: Slack returned HTTP 500."
        ]
        assert found.posted().files == []


async def test_a_chart_whose_drawing_ends_the_worker_is_given_up(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, CHART)
        found.polling._chart_not_before = math.inf
        await found.poll()
        await found.run(f"UPDATE incident_actions SET attempts = {CHART_TRIES}")
        found.polling = found.started()
        for _ in range(2):
            await found.poll()
        assert found.posted().files == []
        assert found.replies() == [
            "The chart for @ana could not be posted: the worker ended 5 times while it was drawn."
        ]


@pytest.mark.parametrize("emoji", ["eyes::skin-tone-3", "mute", "chart"])
async def test_skin_tones_and_emoji_of_the_same_meaning_count(opened: Opened, emoji: str) -> None:
    async with opened() as found:
        found.inbox.react(ANA, emoji)
        await found.poll()
        assert await found.rows("SELECT count(*) FROM incident_actions") == [(1,)]


@pytest.mark.parametrize(
    ("user", "emoji"), [(ANA, "tada"), (ANA, "eye"), (DEPLOY, EYES), ("U000BOT", EYES)]
)
async def test_other_emoji_bots_and_ourselves_are_ignored(
    opened: Opened, user: str, emoji: str
) -> None:
    async with opened() as found:
        found.inbox.react(user, emoji)
        for _ in range(2):
            await found.poll()
        assert await found.rows("SELECT count(*) FROM incident_actions") == [(0,)]
        assert found.replies() == []
        assert len(found.calls("users.info")) <= 1


async def test_without_names_people_are_mentioned_by_their_id(opened: Opened) -> None:
    async with opened(scopes=("chat:write", "files:write", "reactions:read")) as found:
        found.inbox.react(ANA, EYES)
        await found.poll()
        assert found.replies() == ["Acknowledged by <@U0ANA>; reminders stop."]
        assert await acknowledged(found) == [(1, ANA, True)]


@pytest.mark.parametrize(("failures", "reply"), [
    (1, ACKNOWLEDGED), (NAME_TRIES, "Acknowledged by <@U0ANA>; reminders stop."),
])  # fmt: skip
async def test_a_name_that_cannot_be_asked_for_delays_the_answer_and_loses_nothing(
    opened: Opened, failures: int, reply: str
) -> None:
    async with opened() as found:
        found.inbox.react(ANA, EYES)
        # Who the bot is; then each time the reactions and the name.
        found.inbox.script([OK, *([OK, 500] * failures)], questions=True)
        for _ in range(min(failures, NAME_TRIES - 1)):
            await found.poll()
            assert found.replies() == []
        await found.poll()
        assert found.replies() == [reply]


async def test_slack_is_not_asked_while_nothing_is_open(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, EYES)
        await found.judge("-ttft")
        for _ in range(3):
            await found.poll()
        assert [r.path for r in found.inbox.questions] == ["/api/auth.test"]


async def test_many_open_incidents_take_turns_within_a_few_calls(opened: Opened) -> None:
    rules = ("+ttft", "+key", "+unpriced", "+delivery", "+no_data")
    async with opened(*rules) as found:
        open_messages = len(found.inbox.messages)
        assert open_messages > MOST_MESSAGES
        for _ in range(open_messages):
            before = len(found.calls("reactions.get"))
            await found.poll()
            assert len(found.calls("reactions.get")) - before <= MOST_MESSAGES
        asked = {call["timestamp"] for call in found.calls("reactions.get")}
        assert asked == {message.ts for message in found.inbox.messages}


async def test_a_429_is_waited_for_and_delays_no_message(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as found:
        await found.poll()
        limit = SlackReplyStep(status=429, word="ratelimited", retry_after="600")
        found.inbox.script([limit], questions=True)
        await found.poll()
        asked = len(found.calls("reactions.get"))
        await found.poll()
        assert len(found.calls("reactions.get")) == asked
        await found.judge("-ttft")
        assert found.first_lines()[1:] == ["RESOLVED #1 ttft · rag"]


async def test_a_message_that_cannot_be_asked_about_holds_up_no_other(opened: Opened) -> None:
    """As after the bot moved to another channel."""
    async with opened("+ttft", "+no_data") as found:
        await found.run(
            "UPDATE outbox SET reference = 'C0ELSEWHERE:1.000001' "
            f"WHERE reference LIKE '%{found.posted(1).ts}'"
        )
        for _ in range(3):
            await found.poll()
        asked = [call["channel"] for call in found.calls("reactions.get")]
        assert asked.count("C0ELSEWHERE") == 1
        found.inbox.react(ANA, EYES)
        await found.poll()
        assert found.replies() == [ACKNOWLEDGED]


@pytest.mark.parametrize(
    "trouble",
    [
        500,
        "internal_error",
        "message_not_found",
        "not_in_channel",
        "brand_new_word",
        SlackReplyStep(cut=True),
        SlackReplyStep(status=200, body="<html>"),
        SlackReplyStep(status=200, body='{"ok": true}'),
        SlackReplyStep(status=200, body='{"ok": true, "message": {"reactions": 7}}'),
        SlackReplyStep(
            status=200,
            body='{"ok": true, "message": {"ts": "1700000001.000001", "reactions": [1, '
            '{"name": "eyes", "count": 1, "users": ["<!channel>", 7]}, {"name": ["eyes"]}]}}',
        ),
    ],
    ids=str,
)
async def test_trouble_with_reactions_undoes_nothing_and_disturbs_no_delivery(
    opened: Opened, trouble: SlackReplyStep | str | int
) -> None:
    async with opened() as found:
        found.inbox.react(ANA, EYES)
        await found.poll()
        found.inbox.script([trouble], questions=True)
        await found.poll()
        assert await acknowledged(found) == [(1, "ana", True)]
        await found.judge("-ttft")
        assert found.first_lines()[1:] == ["RESOLVED #1 ttft · rag"]


async def test_without_the_scope_it_is_said_once_and_messages_go(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with opened(scopes=("chat:write", "files:write", "users:read")) as found:
        found.inbox.react(ANA, EYES)
        for _ in range(3):
            found.polling._not_before = 0.0
            await found.poll()
        said = [(r.message, vars(r)["reason"]) for r in caplog.records if "reason" in vars(r)]
        assert said == [
            (
                "channel limited",
                "the bot lacks the scope reactions:read: reactions on incidents are not read",
            )
        ]
        assert found.calls("reactions.get") == []
        await found.judge("-ttft")
        assert found.first_lines()[1:] == ["RESOLVED #1 ttft · rag"]


async def test_scopes_that_a_server_does_not_state_are_found_missing_when_needed(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with opened(scopes=None) as found:
        found.inbox.script([OK, "missing_scope"], questions=True)
        for _ in range(3):
            await found.poll()
        assert [vars(r)["reason"] for r in caplog.records] == ["Slack error missing_scope"]


def test_webhooks_and_the_console_are_not_asked() -> None:
    assert [kind.reacts for kind in (SlackBot, SlackWebhook, ConsoleNotifier)] == [
        True,
        False,
        False,
    ]


async def test_every_channel_that_knows_the_incident_learns_who_takes_care_of_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_slack() as slack, local_slack() as other, local_slack() as late:
        more = [
            Channel(name="hook", notifier=SlackWebhook(other.webhook_url)),
            Channel(
                name="late",
                notifier=SlackWebhook(late.webhook_url),
                accepts=ChannelFilter(rules=frozenset({"spend"})),
            ),
        ]
        async with open_context(settings(tmp_path), database, slack_bot(slack), *more) as context:
            found = AnsweredSlackIncident(context, slack)
            await found.judge("+ttft")
            slack.react(ANA, EYES)
            await found.poll()
        assert found.replies() == [ACKNOWLEDGED]
        assert [message.text.split("\n")[0] for message in other.messages][1:] == [
            f"NOTICE #1 ttft · rag: {ACKNOWLEDGED}"
        ]
        assert late.messages == []


async def test_what_comes_back_after_its_end_is_no_longer_acknowledged(opened: Opened) -> None:
    async with opened() as found:
        found.inbox.react(ANA, EYES)
        await found.poll()
        await found.judge("-ttft")
        await found.judge("+ttft", later=MINUTE)
        assert found.first_lines()[2:] == ["STILL FIRING #1 ttft · rag"]
        assert await acknowledged(found) == [(1, None, False)]
        await found.poll()
        await found.judge("+ttft", later=5 * HOUR)
        assert found.first_lines()[3:] == ["STILL FIRING #1 ttft · rag"]


async def test_two_workers_take_an_answer_once(opened: Opened, tmp_path: Path) -> None:
    async with opened() as found:
        other_inbox = found.inbox
        async with open_context(
            settings(tmp_path), found.context.database, slack_bot(other_inbox)
        ) as context:
            object.__setattr__(context, "worker", "w2")
            other = AnsweredSlackIncident(context, other_inbox)
            found.inbox.react(ANA, EYES)
            for worker in (found, other, found, other):
                await worker.poll()
        assert found.replies() == [ACKNOWLEDGED]
        assert len(found.calls("reactions.get")) == 2, "the other worker does not ask"


# By command.


@pytest.fixture
def command(tmp_path: Path, database_url: str) -> Callable[..., Ended]:
    def called(*arguments: str, **given: str) -> Ended:
        given = given or {"SLACK_BOT_TOKEN": "xoxb-inbox", "SLACK_CHANNEL": "#alerts"}
        ended = call(arguments, home=tmp_path, DATABASE_URL=database_url, SERVICE_KEY="k",
                     NO_PROXY="127.0.0.1", **given)  # fmt: skip
        assert ended.error is None
        return ended

    return called


async def test_a_command_acknowledges_and_says_so_in_the_thread(
    opened: Opened, command: Callable[..., Ended]
) -> None:
    async with opened() as found:
        first = await asyncio.to_thread(command, "incidents", "acknowledge", "1", "--by", "eva")
        assert (first.status, first.out) == (0, "acknowledged #1 by eva. Its end is still sent.\n")
        again = await asyncio.to_thread(command, "incidents", "acknowledge", "1", "--by", "eva")
        assert (again.status, again.out) == (2, "")
        assert again.err == "monitor: eva has acknowledged incident #1 already\n"
        found.inbox.react(ANA, EYES)
        await found.poll()
        assert found.replies() == [
            "Acknowledged by eva; reminders stop.", "Also acknowledged by @ana."
        ]  # fmt: skip
        assert await acknowledged(found) == [(1, "eva", True)]
        await found.judge("+ttft", later=DAY)
        assert found.first_lines() == ["FIRING #1 ttft · rag"]

        undone = await asyncio.to_thread(
            command, "incidents", "acknowledge", "1", "--by", "ben", "--undo"
        )
        assert undone.out == "#1 is no longer acknowledged. Reminders resume.\n"
        for _ in range(2):
            await found.poll()
        assert found.replies()[2:] == [
            "No longer acknowledged: withdrawn by ben; reminders resume."
        ], "the reaction that still stands changes nothing"
        assert await acknowledged(found) == [(1, None, False)]
        once = await asyncio.to_thread(command, "incidents", "acknowledge", "1", "--undo")
        assert (once.status, once.err) == (2, "monitor: incident #1 is not acknowledged\n")


async def test_a_part_is_acknowledged_with_the_incident_it_is_part_of(
    opened: Opened, command: Callable[..., Ended]
) -> None:
    async with opened() as found:
        await found.judge("+ttft", "+fallback")
        ended = await asyncio.to_thread(command, "incidents", "acknowledge", "2", "--by", "eva")
        assert ended.out == "acknowledged #1 by eva. #2 is part of it. Its end is still sent.\n"
        assert await acknowledged(found) == [(1, "eva", True), (2, "eva", True)]


@pytest.mark.parametrize(("number", "by", "sentence"), [
    ("7", "eva", "there is no incident #7; see `monitor incidents list`"),
    ("1", " ", "--by is empty: give the name of a person"),
    ("1", "eva", "incident #1 is over: it sends no reminders"),
])  # fmt: skip
async def test_what_cannot_be_acknowledged_is_refused_in_a_sentence(
    opened: Opened, command: Callable[..., Ended], number: str, by: str, sentence: str
) -> None:
    async with opened() as found:
        await found.judge("-ttft")
        ended = await asyncio.to_thread(command, "incidents", "acknowledge", number, "--by", by)
    assert (ended.status, ended.out, ended.err) == (2, "", f"monitor: {sentence}\n")


async def test_a_webhook_receives_an_acknowledgement_as_a_message(
    database: Database, tmp_path: Path, command: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_slack() as slack:
        hook = SlackWebhook(slack.webhook_url)
        async with open_context(settings(tmp_path), database, hook) as context:
            found = AnsweredSlackIncident(context, slack)
            await found.judge("+ttft")
            given = {"SLACK_WEBHOOK_URL": slack.webhook_url}
            await asyncio.to_thread(
                command, "incidents", "acknowledge", "1", "--by", "eva", **given
            )
            await deliver(context)
        assert slack.messages[1].text == (
            "NOTICE #1 ttft · rag: Acknowledged by eva; reminders stop."
        )


async def test_who_answered_is_shown_and_unmuting_by_command_ends_the_answer(
    opened: Opened, command: Callable[..., Ended]
) -> None:
    async with opened(scopes=("chat:write", "reactions:read", "users:read")) as found:
        for emoji in (EYES, BELL, CHART):
            found.inbox.react(ANA, emoji)
        await found.poll()
        await asyncio.to_thread(command, "incidents", "unmute", "--rule", "ttft", "--target", "rag")
        shown = (await asyncio.to_thread(command, "incidents", "show", "1")).out
        listed = (await asyncio.to_thread(command, "incidents", "list")).out
    at = r" in \w+ at [-0-9]+ [:0-9]+ UTC"
    assert re.search(rf"^  acknowledge by @ana{at}$", shown, re.M)
    assert re.search(rf"^  mute by @ana{at}, undone by \w+ at .* UTC$", shown, re.M)
    assert re.search(rf"^  chart by @ana{at}, failed: Slack error missing_scope$", shown, re.M)
    assert " Acknowledged by ana." in listed


async def test_check_names_missing_scopes_and_the_document(
    opened: Opened, command: Callable[..., Ended]
) -> None:
    async with opened(scopes=("chat:write", "users:read")) as found:
        given = {
            "SLACK_API_BASE_URL": found.inbox.api_url,
            "SLACK_BOT_TOKEN": found.inbox.token,
            "SLACK_CHANNEL": "#alerts",
        }
        checked = await asyncio.to_thread(command, "check", **given)
        found.inbox.app.scopes = ("files:write",)
        broken = await asyncio.to_thread(command, "check", **given)
    lines = [line.partition(": ") for line in checked.out.splitlines()]
    assert [reason for head, _, reason in lines if head.startswith("warning channel")] == [
        "the bot lacks the scope files:write: charts are not posted; see docs/slack.md",
        "the bot lacks the scope reactions:read: reactions on incidents are not read; "
        "see docs/slack.md",
    ]
    assert "the bot lacks the scope chat:write; see docs/slack.md; takes" in broken.out
