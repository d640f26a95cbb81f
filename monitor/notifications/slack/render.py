"""A notice as Slack shows it: a text that stands alone, and blocks that are quick to read.

At most five blocks: header, summary, facts of a notice without an incident, first step, context.
The evidence goes into the thread, see `thread_details`.

All text of a notice is treated as foreign: escaped, and shown without formatting. Each text stays
under Slack's limit and their sum under 9,000 characters, whatever a notice contains. Slack
documents no limit for the sum, but it has rejected 11,300.

Source: docs.slack.dev, Block Kit; slackapi/bolt-js issues 2509 and 2867.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    RichTextBlock,
    RichTextElementParts,
    RichTextSectionElement,
    SectionBlock,
)

from monitor.domain import (
    Notice,
    counted,
)
from monitor.notifications.plain_text import (
    FACT,
    FACTS,
    LABEL,
    SENTENCE,
    SUMMARY,
    cause,
    details,
    first_step,
    head,
    inline_facts,
    left_out,
    ongoing,
    plain_text,
    repeated,
    runbook,
    show_command,
    summary,
    symbol,
    title,
)
from monitor.notifications.slack.escaping import bare, code, escaped
from monitor.redaction import plain

EVENT_TYPE = "monitor_incident"
CHANNEL = "Slack"
_CODE, _ROOM, _URL = 600, 2_500, 1_000


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """A notice as Slack accepts it. `text` alone is sufficient to understand it."""

    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


def render(
    notice: Notice, *, runbook_url: str | None = None, threads: bool = False
) -> SlackMessage:
    """The message that opens, edits or closes an incident. `threads`: its details follow there."""
    if notice.in_thread:
        text = plain_text(notice, clean=escaped, channel=CHANNEL)
        return SlackMessage(text, (_section(text).to_dict(),), _metadata(notice))
    return SlackMessage(
        text=plain_text(notice, runbook_url=runbook_url, clean=escaped, channel=CHANNEL),
        blocks=_packed(_blocks(notice, runbook_url, threads=threads)),
        metadata=_metadata(notice),
    )


def thread_reply(notice: Notice) -> SlackMessage:
    """The reply in an incident's thread that is also shown in the channel: what is new."""
    said, step = list(summary(notice, escaped)), first_step(notice)
    top = f"{head(notice, escaped)}: {escaped(notice.sentence, SENTENCE)}"
    more = filter(None, [step and f"First step: {escaped(step, FACT)}", repeated(notice, CHANNEL)])
    return SlackMessage(
        text="\n".join([top, *said, *more]),
        blocks=_packed(_reply_blocks(notice, said)),
        metadata=_metadata(notice),
    )


def _reply_blocks(notice: Notice, said: list[str]) -> Iterator[Block]:
    yield _section("\n".join([f"{symbol(notice)} {title(notice, escaped)}", *said]))
    if step := "\n".join(_step(notice)):
        yield SectionBlock(text=_markdown(step))
    if line := repeated(notice, CHANNEL):
        yield ContextBlock(elements=[_plain(line)])


def thread_details(notice: Notice) -> SlackMessage | None:
    """The evidence for the thread alone: figures, facts, SQL, ids; None if there is none.

    It reports nothing new, so its first line begins with DETAILS and no status.
    """
    listed = list(details(notice))
    if not listed or not ongoing(notice):
        return None
    number = "" if notice.number is None else f" #{notice.number}"
    top = f"DETAILS{number} {escaped(notice.rule, LABEL)} · {escaped(notice.scope, LABEL)}"
    lines = [f"{escaped(label, LABEL)}: {escaped(text, 2 * FACT)}" for label, text in listed]
    return SlackMessage(
        text="\n".join(_fitting([f"{top}: figures, evidence and rows", *lines])),
        blocks=_packed(_detail_blocks(listed)),
    )


def answer(notice: Notice) -> SlackMessage:
    """The reply to a person in an incident's thread: the sentence alone.

    If a person's name is not known, Slack inserts it: a rich text contains the id, and nothing else
    in it is markup.
    """
    lines = filter(None, (plain(notice.sentence, SENTENCE), repeated(notice, CHANNEL)))
    sentence = "\n".join(lines)
    text = "\n".join(escaped(line, SENTENCE) for line in sentence.splitlines())
    if not notice.mentions:
        return SlackMessage(text, (_section(text).to_dict(),), _metadata(notice))
    people = "|".join(map(re.escape, notice.mentions))
    parts = [
        RichTextElementParts.User(user_id=part)
        if place % 2
        else RichTextElementParts.Text(text=part)
        for place, part in enumerate(re.split(f"@({people})\\b", sentence))
        if part
    ]
    block = RichTextBlock(elements=[RichTextSectionElement(elements=parts)])
    text = re.sub(f"@({people})\\b", r"<@\1>", text)
    return SlackMessage(text, (block.to_dict(),), _metadata(notice))


def _blocks(notice: Notice, runbook_url: str | None, *, threads: bool) -> Iterator[Block]:
    """What is wrong, its extent, what to do; then the confidence and links."""
    yield HeaderBlock(text=_plain(f"{symbol(notice)} {title(notice, escaped)}"))
    said = list(summary(notice, escaped))
    if not notice.finding.what and ongoing(notice):  # from an earlier version: its title may be cut
        said.insert(0, escaped(notice.sentence, SUMMARY))
    if said:
        yield _section("\n".join(said))
    if facts := _fitting([*inline_facts(notice, bare), *filter(None, [left_out(notice, FACTS)])]):
        yield SectionBlock(text=_markdown("\n".join(map(_labelled, facts))))
    if step := "\n".join(_step(notice)):
        yield SectionBlock(text=_markdown(step))
    if small := list(_small_print(notice, runbook_url, threads=threads)):
        yield ContextBlock(elements=small)


def _step(notice: Notice) -> Iterator[str]:
    for label, why in cause(notice):
        yield f"*{label}:* {bare(why, FACT)}"
    if step := first_step(notice):
        yield f"👉 *First step:* {_with_code(step)}"


def _with_code(step: str) -> str:
    """A first step: commands between backticks are code, the rest is foreign text."""
    parts = step.split("`")
    even = len(parts) % 2 == 1
    return "".join(
        code(part, FACT) if number % 2 and even else _spaced(part)
        for number, part in enumerate(parts)
        if part
    )


def _spaced(text: str) -> str:
    """Foreign text with its leading and trailing blanks, which `bare` removes."""
    before = " " if text[:1].isspace() else ""
    after = " " if text[-1:].isspace() else ""
    return f"{before}{bare(text, FACT)}{after}" if text.strip() else " "


def _small_print(
    notice: Notice, runbook_url: str | None, *, threads: bool
) -> Iterator[PlainTextObject | MarkdownTextObject]:
    if ongoing(notice):
        if certainty := notice.finding.certainty:
            yield _markdown(f"*How certain:* {bare(certainty, FACT)}")
        if where := " · ".join(_links(notice, runbook_url, threads=threads)):
            yield _markdown(where)
    if line := repeated(notice, CHANNEL):
        yield _plain(line)


def _links(notice: Notice, runbook_url: str | None, *, threads: bool) -> Iterator[str]:
    """Where to read on. Links and no buttons: see docs/adr/0019-message.md."""
    place = runbook(notice, runbook_url)
    if place and runbook_url:
        yield f"📕 <{escaped(place, _URL)}|Runbook: {notice.rule}>"
    elif place:
        yield f"📕 Runbook: {code(place, FACT)}"
    command = show_command(notice)
    if command:
        place = "in the thread, or " if threads else ""
        yield f"🔎 Details: {place}{code(command, FACT)}"
    elif threads and any(details(notice)):
        yield "🔎 Details: in the thread"


def _detail_blocks(listed: list[tuple[str, str]]) -> Iterator[Block]:
    """Each fact on its own line, queries and ids as code."""
    lines = []
    for label, text in listed:
        if label in ("SQL", "Rows"):
            continue
        lines.append(f"*{bare(label, LABEL)}:* {bare(text, FACT)}")
    for start in range(0, len(lines), 6):
        yield SectionBlock(text=_markdown("\n".join(lines[start : start + 6])))
    for label, text in listed:
        if label in ("SQL", "Rows"):
            shown = escaped(text.replace("`", chr(39)), _CODE)
            yield SectionBlock(text=_markdown(f"*{label}*\n```{shown}```"))


def _labelled(line: str) -> str:
    """`Label: text` with the label in bold; both are escaped and bare."""
    label, found, text = line.partition(": ")
    return f"*{label}:* {text}" if found else line


def _fitting(lines: list[str]) -> list[str]:
    """As many lines as fit into one text, and how many are left out."""
    room, kept = _ROOM, 0
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept += 1
    left = len(lines) - kept
    return [*lines[:kept], f"… and {counted(left, 'more line')}"] if left else lines


def _packed(blocks: Iterator[Block] | list[Block]) -> tuple[Mapping[str, Any], ...]:
    return tuple(block.to_dict() for block in blocks)


def _section(text: str) -> Block:
    """A paragraph in which nothing is markup; `text` is escaped already."""
    return SectionBlock(text=_plain(text))


def _plain(text: str) -> PlainTextObject:
    return PlainTextObject(text=text, emoji=False)


def _markdown(text: str) -> MarkdownTextObject:
    return MarkdownTextObject(text=text, verbatim=True)


def _metadata(notice: Notice) -> dict[str, object]:
    """Data for programs. Slack stores no null, so absent values are left out."""
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
