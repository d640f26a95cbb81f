"""What a message says, whether as text or as blocks: head, figures, first step, evidence."""

from collections.abc import Iterator
from urllib.parse import quote

from monitor.domain import Notice, NoticeStatus, instant, lasting
from monitor.notifications.slack.escaping import amount, escaped
from monitor.notifications.slack.first_steps import ADVICE

RUNBOOK = "docs/runbook.md"
REPEATED = "May be a repeat: Slack did not confirm an earlier try."
SENTENCE, LABEL, FACT = 400, 40, 300  # characters after escaping
FACTS = 16
_RULE, _SCOPE, _ROWS = 30, 80, 5


def head(notice: Notice) -> str:
    """`STATUS #NUMBER RULE · TARGET`, escaped, at most 147 characters."""
    number = "" if notice.number is None else f" #{notice.number}"
    return (
        f"{notice.status}{number} {escaped(notice.rule, _RULE)} · {escaped(notice.scope, _SCOPE)}"
    )


def figures(notice: Notice) -> Iterator[tuple[str, str]]:
    """Our own figures, label and text: nothing in them needs escaping."""
    if notice.value is not None:
        limit = (
            ""
            if notice.limit is None
            else f", limit {amount(notice.rule, notice.limit, limit=notice.limit)}"
        )
        yield "Now", amount(notice.rule, notice.value, limit=notice.limit) + limit
    elif notice.limit is not None:
        yield "Limit", amount(notice.rule, notice.limit, limit=notice.limit)
    if notice.peak is not None and notice.status is not NoticeStatus.FIRING:
        yield "Peak", amount(notice.rule, notice.peak, limit=notice.limit)
    if notice.since is not None:
        end = notice.until or notice.at
        span, start = lasting(end - notice.since), instant(notice.since, now=notice.at)
        if notice.status is NoticeStatus.RESOLVED:
            yield "Lasted", f"{span}, {start} to {instant(end, now=notice.at)}"
        else:
            yield "Since", f"{start} ({span})"


def first_step(notice: Notice) -> str | None:
    """What to do first; None where nothing is to be done or the notice says so itself."""
    advice = ADVICE.get(notice.rule)
    if advice is None or notice.status is NoticeStatus.RESOLVED or "Do first" in notice.facts:
        return None
    return advice.first


def runbook(notice: Notice, url: str | None) -> str | None:
    """Where the rule's section of the runbook is: an address, else a path in this project.

    None for what is no rule, as a digest.
    """
    if notice.rule not in ADVICE:
        return None
    place = quote(url, safe=":/?&=%@~.-_[]") if url else RUNBOOK
    return f"{escaped(place, 1_000)}#{notice.rule}"


def evidence(notice: Notice) -> str | None:
    """The ids of the rows that prove it, the first few of many; None without rows."""
    if not notice.rows:
        return None
    more = len(notice.rows) - _ROWS
    named = ", ".join(map(str, notice.rows[:_ROWS]))
    return f"Rows: {named}" + (f" and {more} more" if more > 0 else "")


def left_out(notice: Notice, notified: int) -> str | None:
    """How many facts found no room; None when all did."""
    more = len(notice.facts) - notified
    return f"… and {more} more facts" if more > 0 else None
