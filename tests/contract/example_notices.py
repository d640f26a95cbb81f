"""Notices for the tests of notifiers, and the secrets that must not be shown."""

from datetime import UTC, datetime
from uuid import UUID

from monitor.domain import Finding, Notice, NoticeStatus
from monitor.notifications.slack.render import render

TOKEN = "xoxb-canary-3f9c1b"
SECRET = "canaryA7d2e8"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def notice(status: NoticeStatus = NoticeStatus.FIRING, sentence: str = "over 1,200 ms") -> Notice:
    return Notice(
        id=UUID(int=1),
        status=status,
        rule="ttft",
        scope="nuzantara",
        sentence=sentence,
        at=NOON,
        number=42,
        value=1840.0,
        limit=1200.0,
        since=NOON,
        finding=Finding(
            what="slow: 1.84 s to first token, limit 1.2 s",
            was="slow: 1.84 s to first token, limit 1.2 s",
            extent="Median of the last 3 rounds",
        ),
    )


FIRING = notice()
RESOLVED = notice(NoticeStatus.RESOLVED, "well again")


def texts(*notices: Notice) -> list[str]:
    """The text of each notice's message in Slack."""
    return [render(item).text for item in notices]
