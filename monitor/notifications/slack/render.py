"""A notice as Slack shows it: a text that stands alone, and blocks understood in five seconds.

Every word of a notice is treated as foreign: escaped, and shown in `plain_text` or code.
"""

import math
from itertools import islice

from monitor.domain import Message, Notice
from monitor.notifications.slack.blocks import blocks, section
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
from monitor.notifications.slack.escaping import escaped
from monitor.notifications.slack.first_steps import sql
from monitor.redaction import plain

__all__ = ["EVENT_TYPE", "TEXT", "render", "thread_reply"]

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
