"""`monitor test-alert`: one real message through the configured channel, and whether it arrived."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from monitor.commands.opening import configuration, stop
from monitor.commands.run import told_by
from monitor.domain import ALL, GiveUp, Notice, Sent, Status, TryLater
from monitor.messages import render
from monitor.scrub import redact


def test_alert() -> None:
    """Send a notice; exit 1 with the channel's reason when it is not taken."""
    settings = configuration()
    channel = told_by(settings.environment)
    notice = Notice(
        id=uuid4(),
        status=Status.NOTICE,
        rule="test",
        scope=ALL,
        sentence="This is a test. Alerts of this monitor will look like this and come here.",
        at=datetime.now(UTC),
        facts={"Watched": ", ".join(sorted(settings.targets))},
    )
    message = render(notice, runbook_url=settings.file.slack.runbook_url)
    match asyncio.run(channel.send(message)):
        case Sent():
            print(f"sent through {channel.channel}")  # noqa: T201
        case TryLater(why) | GiveUp(why):
            stop(f"{channel.channel} did not take it: {redact(why, settings.secrets)}")
