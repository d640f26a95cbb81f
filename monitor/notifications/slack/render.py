"""A notice as Slack shows it: a text that stands alone, and blocks understood in five seconds.

Every word of a notice is treated as foreign: escaped, and shown in `plain_text` or code.

Bounded by construction: whatever a notice holds, each text stays under Slack's limit and
their sum under 9,000 characters. Slack names no limit for the sum and has been seen to
refuse 11,300. Source: docs.slack.dev, Block Kit; slackapi/bolt-js issues 2509 and 2867.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from monitor.domain import Notice, NoticeStatus
from monitor.notifications.plain_text import (
    FACT,
    FACTS,
    LABEL,
    SENTENCE,
    evidence,
    figures,
    first_step,
    head,
    left_out,
    plain_text,
    repeated,
    runbook,
    short_text,
)
from monitor.notifications.slack.escaping import bare, code, escaped, sql
from monitor.redaction import plain

EVENT_TYPE = "monitor_incident"
CHANNEL = "Slack"
_SHORT, _SQL, _PER_SECTION = 100, 600, 10
_MARKS = {
    NoticeStatus.FIRING: "🔴",
    NoticeStatus.STILL_FIRING: "🟠",
    NoticeStatus.RESOLVED: "🟢",
    NoticeStatus.NOTICE: "🔵",
}


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """A notice as Slack takes it. `text` alone is enough to understand it."""

    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


def render(notice: Notice, *, runbook_url: str | None = None) -> SlackMessage:
    """The message that opens, edits or closes an incident."""
    return SlackMessage(
        text=plain_text(notice, runbook_url=runbook_url, clean=escaped, channel=CHANNEL),
        blocks=tuple(block.to_dict() for block in _blocks(notice, runbook_url)),
        metadata=_metadata(notice),
    )


def thread_reply(notice: Notice) -> SlackMessage:
    """What goes into an incident's thread, and from there into the channel."""
    text = short_text(notice, clean=escaped, channel=CHANNEL)
    return SlackMessage(text=text, blocks=(_section(text).to_dict(),), metadata=_metadata(notice))


def _blocks(notice: Notice, runbook_url: str | None) -> Iterator[Block]:
    """Status first, then what is true, then what to do, then what proves it."""
    yield HeaderBlock(text=_plain(f"{_MARKS[notice.status]} {head(notice, escaped)}"))
    yield _section(escaped(notice.sentence, SENTENCE))
    yield from _facts(notice)
    if step := first_step(notice):
        yield SectionBlock(text=_markdown(f"*Do first*\n{step}"))
    if shown := sql(notice):
        yield SectionBlock(text=_markdown(f"```{escaped(shown, _SQL)}```"))
    if small := list(_small_print(notice, runbook_url)):
        yield ContextBlock(elements=small)


def _facts(notice: Notice) -> Iterator[Block]:
    """Short facts side by side, long ones below, each across the whole width."""
    fields = [_markdown(f"*{label}*\n{text}") for label, text in figures(notice)]
    wide = []
    for label, text in islice(notice.facts.items(), FACTS):
        if len(span := code(text, FACT)) <= _SHORT:
            fields.append(_markdown(f"*{bare(label, LABEL)}*\n{span}"))
        else:
            wide.append(_section(f"{escaped(label, LABEL)}: {escaped(text, FACT)}"))
    for start in range(0, len(fields), _PER_SECTION):
        yield SectionBlock(fields=list(fields[start : start + _PER_SECTION]))
    yield from wide


def _small_print(
    notice: Notice, runbook_url: str | None
) -> Iterator[PlainTextObject | MarkdownTextObject]:
    place = runbook(notice, runbook_url, escaped)
    if place and runbook_url:
        yield _markdown(f"<{place}|Runbook: {notice.rule}>")
    elif place:
        yield _plain(f"Runbook: {place}")
    for line in (left_out(notice, FACTS), evidence(notice), repeated(notice, CHANNEL)):
        if line:
            yield _plain(line)


def _section(text: str) -> Block:
    """A paragraph in which nothing is markup; `text` is escaped already."""
    return SectionBlock(text=_plain(text))


def _plain(text: str) -> PlainTextObject:
    return PlainTextObject(text=text, emoji=False)


def _markdown(text: str) -> MarkdownTextObject:
    return MarkdownTextObject(text=text, verbatim=True)


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
