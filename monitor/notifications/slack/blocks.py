"""A notice as blocks: header, sentence, figures, facts, first step, SQL, small print.

Bounded by construction: whatever a notice holds, each text stays under Slack's limit and
their sum under 9,000 characters. Slack names no limit for the sum and has been seen to
refuse 11,300. Source: docs.slack.dev, Block Kit; slackapi/bolt-js issues 2509 and 2867.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from monitor.domain import Notice, NoticeStatus
from monitor.notifications.slack.content import (
    FACT,
    FACTS,
    LABEL,
    REPEATED,
    SENTENCE,
    evidence,
    figures,
    first_step,
    head,
    left_out,
    runbook,
)
from monitor.notifications.slack.escaping import bare, code, escaped
from monitor.notifications.slack.first_steps import sql

Block = Mapping[str, object]

_SHORT, _SQL, _PER_SECTION = 100, 600, 10
_MARKS = {
    NoticeStatus.FIRING: "🔴",
    NoticeStatus.STILL_FIRING: "🟠",
    NoticeStatus.RESOLVED: "🟢",
    NoticeStatus.NOTICE: "🔵",
}


def blocks(notice: Notice, *, runbook_url: str | None) -> Iterator[Block]:
    """Status first, then what is true, then what to do, then what proves it."""
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
