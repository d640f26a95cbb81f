"""What Slack refuses, and when: the worker as a process, a service that is slow, one channel.

Expectations are on what the channel received and when, and on what the database says of it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from monitor.rules import RULES
from monitor.simulator.slack_channel import PostedMessage
from monitor.simulator.slack_server import SlackReplyStep, SlackServer
from tests.e2e.worker_process import (
    AT_ONCE,
    Process,
    configuration,
    eventually,
    rows,
    service,
    slack,
    worker,
)

# One rule speaks of the service, so that the script meets the message it is meant for, and
# speaks after one slow round: how soon it should is tested elsewhere.
OTHERS = [rule for rule in RULES if rule not in ("ttft", "delivery")]
SECTIONS = "\n".join([
    AT_ONCE, *(f"[rules.{rule}]\nenabled = false" for rule in OTHERS)
])  # fmt: skip
OPENED = "FIRING #1 ttft · rag: "
SOON_S = 240
FIRST_RETRY_S = 5
PATIENCE_S = 8  # asked for by Slack: longer than our own first retry


def fired(notified: Sequence[PostedMessage]) -> list[PostedMessage]:
    return [message for message in notified if message.text.startswith("FIRING")]


@contextmanager
def slow_service_watched(
    home: Path, database_url: str, inbox: SlackServer, **given: str
) -> Iterator[Process]:
    """A worker that will find the service too slow and tell the inbox."""
    with service("slow") as stage:
        configuration(home, stage.url, more=SECTIONS)
        with worker(home, DATABASE_URL=database_url, **(given or slack(inbox))) as monitor:
            yield monitor


def refused_at(inbox: SlackServer) -> datetime:
    """Wait for the first refusal; returns when the channel refused."""
    refused = inbox.wait_for(lambda _: [item for item in inbox.requests if item.refused], SOON_S)
    return refused[0].at


def outbox(url: str) -> tuple[int, str | None, str | None]:
    """Attempts, result and last error of the opening's message."""
    [found] = rows(url, "SELECT attempts, result, last_error FROM outbox "
                        "WHERE status = 'FIRING' AND incident = 1 "
                        "ORDER BY sequence LIMIT 1")  # fmt: skip
    return found


def test_a_server_error_is_tried_again_and_reported_once_with_its_chart(
    tmp_path: Path, database_url: str
) -> None:
    with SlackServer() as inbox:
        inbox.script([500])
        with slow_service_watched(tmp_path, database_url, inbox) as monitor:
            refused = refused_at(inbox)
            [posted] = inbox.wait_for(fired, SOON_S)
            assert posted.at - refused > timedelta(seconds=FIRST_RETRY_S - 1)
            eventually(lambda: inbox.messages[0].files, 120, "a chart in the thread")
            assert monitor.stop() == 0, monitor.log()
        [message] = inbox.messages
        assert message.text.startswith(OPENED)
        [(name, picture)] = message.files
        assert name.startswith("#1 ttft · rag, the last 6 h")
        assert picture.startswith(b"\x89PNG")
    assert outbox(database_url) == (2, "sent", None)


def test_the_patience_slack_asks_for_is_shown(tmp_path: Path, database_url: str) -> None:
    with SlackServer() as inbox:
        inbox.script([SlackReplyStep(word="ratelimited", status=429, retry_after=str(PATIENCE_S))])
        with slow_service_watched(tmp_path, database_url, inbox) as monitor:
            refused = refused_at(inbox)
            [posted] = inbox.wait_for(fired, SOON_S)
            assert posted.at - refused > timedelta(seconds=PATIENCE_S - 0.5)
            time.sleep(2)
            assert monitor.stop() == 0, monitor.log()
        assert [message.text.startswith(OPENED) for message in inbox.messages] == [True]
        posts = [
            item
            for item in inbox.requests
            if item.path.endswith("chat.postMessage") and "thread_ts" not in item.payload
        ]
        assert len(posts) == 2, "nothing was asked of the channel while it wanted patience"
    assert outbox(database_url) == (2, "sent", None)


def test_a_channel_that_is_gone_keeps_the_news_and_says_so_everywhere_else(
    tmp_path: Path, database_url: str
) -> None:
    with SlackServer() as inbox:
        inbox.script(["channel_not_found"] * 20)
        hook = {"SLACK_WEBHOOK_URL": inbox.webhook_url}
        with slow_service_watched(tmp_path, database_url, inbox, **hook) as monitor:
            refused_at(inbox)
            eventually(
                lambda: rows(database_url, "SELECT 1 FROM incidents WHERE rule = 'delivery' "
                                           "AND target = 'slack' AND resolved_at IS NULL"),
                120, "an incident of delivery",
            )  # fmt: skip
            seen = rows(database_url, "SELECT count(*) FROM observations")[0][0]
            eventually(
                lambda: rows(database_url, "SELECT count(*) FROM observations")[0][0] > seen,
                120, "the worker probes on",
            )  # fmt: skip
            assert monitor.stop() == 0, monitor.log()
        assert inbox.messages == []
        assert len(inbox.requests) <= 2, "asked again hourly, and once at the end, not all the time"
    attempts, result, reason = outbox(database_url)
    assert (result, reason) == (None, "Slack error channel_not_found")
    assert attempts >= 1
    [(channel, since, reported)] = rows(
        database_url, "SELECT channel, broken_since, broken_why FROM channels"
    )
    assert (channel, reported) == ("slack", "Slack error channel_not_found")
    assert since is not None


def test_a_lost_answer_repeats_the_message_at_most_once_and_says_so(
    tmp_path: Path, database_url: str
) -> None:
    with SlackServer() as inbox:
        inbox.script([SlackReplyStep(cut=True)])
        with slow_service_watched(tmp_path, database_url, inbox) as monitor:
            inbox.wait_for(lambda notified: len(fired(notified)) >= 2, SOON_S)
            time.sleep(FIRST_RETRY_S + 2)
            assert monitor.stop() == 0, monitor.log()
        first, second = fired(inbox.messages)
    shown = [(posted.was or [posted.text])[0] for posted in (first, second)]  # before any edit
    repeated = "You may see this message twice: Slack did not confirm the first attempt."
    assert [repeated in text for text in shown] == [False, True]
    assert all(text.startswith(OPENED) for text in shown)
    assert outbox(database_url)[:2] == (2, "sent")


def test_a_reaction_is_answered_in_the_thread_by_a_running_worker(
    tmp_path: Path, database_url: str
) -> None:
    with SlackServer() as inbox:
        with slow_service_watched(tmp_path, database_url, inbox) as monitor:
            inbox.wait_for(fired, SOON_S)
            inbox.react("U0ANA", "eyes")
            reply = "Acknowledged by @ana; reminders stop."
            inbox.wait_for(lambda posted: reply in [one.text for one in posted[0].thread], SOON_S)
            assert monitor.stop() == 0, monitor.log()
        assert {request.path for request in inbox.questions} == {
            "/api/auth.test", "/api/reactions.get", "/api/users.info"
        }  # fmt: skip
    found = rows(database_url, "SELECT number, acknowledged_by FROM report.incidents")
    assert found == [(1, "ana")]
