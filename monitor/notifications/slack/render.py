"""The content of a message as text and as blocks: head, figures, first step, evidence."""

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from urllib.parse import quote

from monitor.domain import Message, Notice, NoticeStatus, instant, lasting
from monitor.notifications.slack.escaping import bare, code, escaped, sql
from monitor.redaction import plain
from monitor.rules import RULES, unit_of

RUNBOOK = "docs/runbook.md"
REPEATED = "May be a duplicate: Slack did not confirm an earlier attempt."
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
    rule = RULES.get(notice.rule)
    if rule is None or notice.status is NoticeStatus.RESOLVED or "Do first" in notice.facts:
        return None
    return rule.first_step


def runbook(notice: Notice, url: str | None) -> str | None:
    """Where the rule's section of the runbook is: an address, else a path in this project.

    None for what is no rule, as a digest.
    """
    if notice.rule not in RULES:
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


# A notice as blocks: header, sentence, figures, facts, first step, SQL, small print.
#
# Bounded by construction: whatever a notice holds, each text stays under Slack's limit and
# their sum under 9,000 characters. Slack names no limit for the sum and has been seen to
# refuse 11,300. Source: docs.slack.dev, Block Kit; slackapi/bolt-js issues 2509 and 2867.


Block = Mapping[str, object]

_SHORT, _SQL, _PER_SECTION = 100, 600, 10
_MARKS = {
    NoticeStatus.FIRING: "🔴",
    NoticeStatus.STILL_FIRING: "🟠",
    NoticeStatus.RESOLVED: "🟢",
    NoticeStatus.NOTICE: "🔵",
}


def blocks(notice: Notice, *, runbook_url: str | None) -> Iterator[Block]:
    """Status, sentence, facts, first step, then evidence."""
    yield {"type": "header", "text": _plain(f"{_MARKS[notice.status]} {head(notice)}")}
    yield section(escaped(notice.sentence, SENTENCE))
    yield from _facts(notice)
    if step := first_step(notice):
        yield {"type": "section", "text": _mrkdwn(f"*Do first*\n{step}")}
    if shown := sql(notice):
        yield {"type": "section", "text": _mrkdwn(f"```{escaped(shown, _SQL)}```")}
    if small := list(_small_print(notice, runbook_url)):
        yield {"type": "context", "elements": small}


def section(text: str) -> Block:
    """A paragraph in which nothing is markup; `text` is escaped already."""
    return {"type": "section", "text": _plain(text)}


def _facts(notice: Notice) -> Iterator[Block]:
    """Short facts side by side, long ones below, each across the whole width."""
    fields = [_mrkdwn(f"*{label}*\n{reported}") for label, reported in figures(notice)]
    wide = []
    for label, reported in islice(notice.facts.items(), FACTS):
        if len(span := code(reported, FACT)) <= _SHORT:
            fields.append(_mrkdwn(f"*{bare(label, LABEL)}*\n{span}"))
        else:
            wide.append(section(f"{escaped(label, LABEL)}: {escaped(reported, FACT)}"))
    for start in range(0, len(fields), _PER_SECTION):
        yield {"type": "section", "fields": fields[start : start + _PER_SECTION]}
    yield from wide


def _small_print(notice: Notice, runbook_url: str | None) -> Iterator[Block]:
    place = runbook(notice, runbook_url)
    if place and runbook_url:
        yield _mrkdwn(f"<{place}|Runbook: {notice.rule}>")
    elif place:
        yield _plain(f"Runbook: {place}")
    for line in (left_out(notice, FACTS), evidence(notice), REPEATED if notice.repeated else None):
        if line:
            yield _plain(line)


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


# A notice as Slack shows it: a text that stands alone, and blocks understood in five seconds.
#
# Every word of a notice is treated as foreign: escaped, and shown in `plain_text` or code.


EVENT_TYPE = "monitor_incident"
TEXT = 3_000


def render(notice: Notice, *, runbook_url: str | None = None) -> Message:
    """The message that opens, edits or closes what a notice tells of.

    Without `runbook_url` the runbook is named by its path in this project.
    """
    step, place, shown = first_step(notice), runbook(notice, runbook_url), sql(notice)
    tail = (
        step and f"Do first: {step}",
        place and f"Runbook: {place}",
        shown and f"SQL: {escaped(shown, 2 * FACT)}",
        evidence(notice),
        REPEATED if notice.repeated else None,
    )
    return Message(
        text=_text(notice, *filter(None, tail)),
        blocks=tuple(blocks(notice, runbook_url=runbook_url)),
        metadata=_metadata(notice),
    )


def thread_reply(notice: Notice) -> Message:
    """What goes into an incident's thread, and from there into the channel."""
    text = _text(notice, *([REPEATED] if notice.repeated else []))
    return Message(text=text, blocks=(section(text),), metadata=_metadata(notice))


def _text(notice: Notice, *tail: str) -> str:
    """All lines within `TEXT`; facts that find no room are counted."""
    top = [f"{head(notice)}: {escaped(notice.sentence, SENTENCE)}"]
    top += [f"{label}: {reported}" for label, reported in figures(notice)]
    facts = [
        f"{escaped(label, LABEL)}: {escaped(reported, FACT)}"
        for label, reported in islice(notice.facts.items(), FACTS)
    ]
    for notified in range(len(facts), -1, -1):
        lines = [*top, *facts[:notified], left_out(notice, notified), *tail]
        text = "\n".join(filter(None, lines))
        if len(text) <= TEXT:
            break
    return text


def _metadata(notice: Notice) -> dict[str, object]:
    """What programs read. Slack stores no null: what is absent is left out."""
    payload: dict[str, object] = {
        "status": notice.status.value,
        "rule": plain(notice.rule),
        "target": plain(notice.scope),
    }
    if notice.number is not None:
        payload["number"] = notice.number
    for name, value in (("value", notice.value), ("limit", notice.limit)):
        if value is not None and math.isfinite(value):
            payload[name] = float(value)
    return {"event_type": EVENT_TYPE, "event_payload": payload}
