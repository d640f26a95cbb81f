"""A secret is rotated: what waited is sent once, and no incident gets a second message."""

from datetime import timedelta
from pathlib import Path

from monitor.notifications import Notifier
from monitor.notifications.slack.bot import SlackBot
from monitor.notifications.slack.webhook import SlackWebhook
from monitor.simulator.slack_server import SlackServer
from monitor.storage import Database
from monitor.worker import delivery_job, evaluation
from tests.contract.open_context import deliver, open_context, settings
from tests.contract.test_answered import seen
from tests.e2e.worker_process import rows

NEXT = timedelta(minutes=10)
SLOW = {"ttft_ms": 3000.0}
WAITING = "SELECT count(*) FROM outbox WHERE settled_at IS NULL"


async def worked(database: Database, home: Path, notifier: Notifier) -> None:
    """A worker starts with this notifier, sees a slow round, evaluates and delivers."""
    async with open_context(settings(home), database, notifier) as context:
        await delivery_job.recheck(context)
        await seen(context, NEXT, *[SLOW] * 6)
        await evaluation.evaluate(context)
        await deliver(context)


def bot(inbox: SlackServer, token: str) -> SlackBot:
    return SlackBot(token, "#alerts", base_url=inbox.api_url)


def told(inbox: SlackServer) -> list[str]:
    """Messages about the service; that the channel was broken may be reported besides."""
    starts = [message.text.split(" ·")[0] for message in inbox.messages]
    return [start for start in starts if "delivery" not in start]


async def test_an_alert_that_met_a_revoked_token_is_sent_with_the_new_one(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with SlackServer(token="xoxb-new") as inbox:
        await worked(database, tmp_path, bot(inbox, "xoxb-old"))
        assert inbox.messages == []
        assert rows(database_url, WAITING) != [(0,)]
        await worked(database, tmp_path, bot(inbox, "xoxb-new"))
        assert told(inbox) == ["FIRING #1 ttft"]
        assert rows(database_url, WAITING) == [(0,)]


async def test_with_a_new_token_of_the_same_app_an_open_incident_stays_one_message(
    database: Database, tmp_path: Path
) -> None:
    with SlackServer() as inbox:
        await worked(database, tmp_path, bot(inbox, inbox.token))
        inbox.token = "xoxb-rotated"
        await worked(database, tmp_path, bot(inbox, inbox.token))
        assert len(inbox.messages) == 1


async def test_an_alert_that_met_a_removed_webhook_is_sent_by_the_new_one(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with SlackServer() as old, SlackServer() as new:
        await worked(database, tmp_path, SlackWebhook(f"{old.webhook_url}-removed"))
        assert rows(database_url, WAITING) != [(0,)]
        await worked(database, tmp_path, SlackWebhook(new.webhook_url))
        assert told(new) == ["FIRING #1 ttft"]
