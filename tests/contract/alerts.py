"""Messages that the tests of notifiers tell, and the secrets they must not tell."""

from datetime import UTC, datetime
from uuid import UUID

from monitor.domain import Notice, NoticeStatus
from monitor.notifications.slack.render import render, thread_reply

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
    )


FIRING = render(notice())
RESOLVED = render(notice(NoticeStatus.RESOLVED, "well again"))
REPLY = thread_reply(notice(NoticeStatus.RESOLVED, "well again"))
