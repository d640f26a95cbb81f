"""What a message says in any medium: head, figures, facts, first step, evidence.

Foreign text goes through a `Clean`: it makes one harmless line of at most so many characters.
`plain_text` is the message for media without markup; others bring a `Clean` of their own.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import quote

from monitor.domain import Notice, NoticeStatus, instant, lasting
from monitor.notifications.slack.escaping import sql
from monitor.redaction import plain
from monitor.rules import RULES, unit_of

Clean = Callable[[str, int], str]

NOTHING = "–"  # channels refuse an empty text
RUNBOOK = "docs/runbook.md"
REPEATED = "May be a duplicate: {channel} did not confirm an earlier attempt."
TEXT = 3_000
SENTENCE, LABEL, FACT = 400, 40, 300  # characters
FACTS = 16
_RULE, _SCOPE, _URL, _ROWS = 30, 80, 1_000, 5


def cleaned(text: str, limit: int) -> str:
    """Foreign text as one harmless line without markup. Never empty."""
    return plain(text, limit) or NOTHING


def plain_text(
    notice: Notice,
    *,
    runbook_url: str | None = None,
    clean: Clean = cleaned,
    channel: str = "the channel",
    limit: int = TEXT,
) -> str:
    """The whole message within `limit` characters; facts that find no room are counted.

    Where even the rest is too long, its last lines are left out. `limit` is at least 1,000.
    """
    step, place, shown = first_step(notice), runbook(notice, runbook_url, clean), sql(notice)
    cause = notice.finding.cause
    tail = (
        cause and f"Likely cause: {clean(cause, FACT)}",
        step and f"Do first: {clean(step, FACT)}",
        place and f"Runbook: {place}",
        shown and f"SQL: {clean(shown, 2 * FACT)}",
        evidence(notice),
        repeated(notice, channel),
    )
    return _lines(notice, clean, limit, *filter(None, tail))


def short_text(notice: Notice, *, clean: Clean = cleaned, channel: str = "the channel") -> str:
    """The message without first step, runbook and evidence: for a reply to the whole one."""
    return _lines(notice, clean, TEXT, *filter(None, [repeated(notice, channel)]))


def _lines(notice: Notice, clean: Clean, limit: int, *tail: str) -> str:
    top = [f"{head(notice, clean)}: {clean(notice.sentence, SENTENCE)}"]
    top += [f"{label}: {text}" for label, text in figures(notice)]
    facts = [
        f"{clean(label, LABEL)}: {clean(text, FACT)}"
        for label, text in islice(notice.facts.items(), FACTS)
    ]
    for count in range(len(facts), -1, -1):
        text = "\n".join(filter(None, [*top, *facts[:count], left_out(notice, count), *tail]))
        if len(text) <= limit:
            return text
    while len(text) > limit:
        text = text.rpartition("\n")[0]
    return text


def head(notice: Notice, clean: Clean = cleaned) -> str:
    """`STATUS #NUMBER RULE · TARGET`, at most 147 characters."""
    number = "" if notice.number is None else f" #{notice.number}"
    return f"{notice.status}{number} {clean(notice.rule, _RULE)} · {clean(notice.scope, _SCOPE)}"


def figures(notice: Notice) -> Iterator[tuple[str, str]]:
    """Our own figures, label and text: nothing in them is markup in any medium."""
    unit = unit_of(notice.rule)
    limit = None if notice.limit is None else unit.text(notice.limit, limit=notice.limit)
    if notice.value is not None:
        now = unit.text(notice.value, limit=notice.limit)
        yield "Now", now if limit is None else f"{now}, limit {limit}"
    elif limit is not None:
        yield "Limit", limit
    if notice.peak is not None and notice.status is not NoticeStatus.FIRING:
        yield "Peak", unit.text(notice.peak, limit=notice.limit)
    if notice.since is not None:
        end = notice.until or notice.at
        span, start = lasting(end - notice.since), instant(notice.since, now=notice.at)
        if notice.status is NoticeStatus.RESOLVED:
            yield "Lasted", f"{span}, {start} to {instant(end, now=notice.at)}"
        else:
            yield "Since", f"{start} ({span})"


def first_step(notice: Notice) -> str | None:
    """What to do first; None where nothing is to be done or the notice says so itself."""
    if notice.finding.first_step:
        return notice.finding.first_step
    rule = RULES.get(notice.rule)
    if rule is None or notice.status is NoticeStatus.RESOLVED:
        return None
    target = re.sub(r"[^\w.-]", "", notice.scope)  # people copy it into a shell
    return rule.first_step.replace("{target}", target)


def runbook(notice: Notice, url: str | None, clean: Clean = cleaned) -> str | None:
    """Where the rule's section of the runbook is: an address, else a path in this project.

    None for what is no rule, as a digest.
    """
    if notice.rule not in RULES:
        return None
    place = quote(url, safe=":/?&=%@~.-_[]") if url else RUNBOOK
    return f"{clean(place, _URL)}#{notice.rule}"


def evidence(notice: Notice) -> str | None:
    """The ids of the rows that prove it, the first few of many; None without rows."""
    if not notice.rows:
        return None
    more = len(notice.rows) - _ROWS
    named = ", ".join(map(str, notice.rows[:_ROWS]))
    return f"Rows: {named}" + (f" and {more} more" if more > 0 else "")


def repeated(notice: Notice, channel: str) -> str | None:
    """That an earlier try may have arrived; None where there was none."""
    return REPEATED.format(channel=channel) if notice.repeated else None


def left_out(notice: Notice, shown: int) -> str | None:
    """How many facts found no room; None when all did."""
    more = len(notice.facts) - shown
    return f"… and {more} more facts" if more > 0 else None
