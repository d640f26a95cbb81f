"""`monitor test-alert`: one real message through the configured channel, and whether it arrived."""

import asyncio
import sys
from datetime import UTC, datetime
from uuid import uuid4

from monitor.cli.run import notifier_from_environment
from monitor.cli.startup import configuration, database_and_psql, sentence, stop
from monitor.config import Settings
from monitor.domain import ALL, GiveUp, Notice, NoticeStatus, Sent, TryLater
from monitor.notifications import ConsoleNotifier
from monitor.notifications.slack.render import render
from monitor.redaction import redact
from monitor.storage import Database, outbox, schema


def test_alert() -> None:
    """Send a notice; exit 1 with the channel's reason when it is not taken.

    So without Slack, where the notice is printed and reaches nobody.
    """
    settings = configuration()
    channel = notifier_from_environment(settings.environment)
    notice = Notice(
        id=uuid4(),
        status=NoticeStatus.NOTICE,
        rule="test",
        scope=ALL,
        sentence="This is a test. Alerts of this monitor will look like this and come here.",
        at=datetime.now(UTC),
        facts={"Watched": ", ".join(sorted(settings.targets))},
    )
    message = render(notice, runbook_url=settings.file.slack.runbook_url)
    match asyncio.run(channel.send(message)):
        case Sent() if isinstance(channel, ConsoleNotifier):
            stop("nothing was sent: set SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN and SLACK_CHANNEL")
        case Sent():
            print(f"sent through {channel.channel}")  # noqa: T201
            _accepted(settings, channel.channel)
        case TryLater(reason) | GiveUp(reason):
            stop(f"{channel.channel} did not take it: {redact(reason, settings.secrets)}")


def _accepted(settings: Settings, channel: str) -> None:
    """A channel that had refused for good takes messages again at once, not at the next recheck.

    An embedded database that was never made is not made for it.
    """
    environment = settings.environment
    if environment.database_url is None and not (environment.monitor_home / "postgres").exists():
        return
    try:
        with database_and_psql(settings) as (url, _):
            if asyncio.run(_cleared(url, channel)):
                print("it had refused for good: what waits is sent now")  # noqa: T201
    except Exception as error:  # the message arrived, whatever is wrong with the database
        later = f"a channel that refused for good is tried again within an hour: {sentence(error)}"
        print(later, file=sys.stderr)  # noqa: T201


async def _cleared(url: str, channel: str) -> bool:
    database = Database(url)
    try:
        if not schema.fits(await schema.revision(database)):
            return False
        async with database.begin() as connection:
            return await outbox.accepted(connection, channel)
    finally:
        await database.close()
