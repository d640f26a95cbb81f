"""The parts of a message in any medium: title, summary, cause, first step, certainty, details.

Foreign text goes through a `Clean`, which returns one harmless line of limited length. `plain_text`
is the message for media without markup; other media bring their own `Clean`.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import quote

from monitor.domain import (
    ALL,
    CauseOwner,
    Finding,
    Notice,
    NoticeStatus,
    Severity,
    counted,
    instant,
    lasting,
    latency_text,
    span_text,
)
from monitor.notifications.slack.escaping import sql
from monitor.redaction import plain
from monitor.rules import RULES, Unit, unit_of

Clean = Callable[[str, int], str]

NOTHING = "–"  # channels reject an empty text
REPEATED = "You may see this message twice: {channel} did not confirm the first attempt."
TEXT = 3_000
SENTENCE, LABEL, FACT = 400, 40, 300  # characters
FACTS = 16
TITLE = 140  # characters, with a symbol before it
SUMMARY = 900
UNKNOWN_CAUSE = "cannot tell: nothing that is known around its start explains it"
_RULE, _SCOPE, _NAME, _URL, _ROWS, _ALSO = 30, 80, 50, 1_000, 5, 3
_SYMBOLS = {Severity.PAGE: "🔴", Severity.WARN: "🟠", Severity.INFO: "🔵"}
_RESOLVED = "🟢"


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
    """The whole message within `limit` characters; facts that do not fit are counted.

    If the rest is also too long, its last lines are left out. `limit` is at least 1,000.
    """
    if notice.in_thread:  # a reply to a person consists of its sentence alone
        top = f"{head(notice, clean)}: {clean(notice.sentence, SENTENCE)}"
        return "\n".join(filter(None, (top, repeated(notice, channel))))
    said = (
        f"{head(notice, clean)}: {clean(notice.sentence, SENTENCE)}",
        *summary(notice, clean),
    )
    tail = [*_labelled(notice, clean, runbook_url), *filter(None, [repeated(notice, channel)])]
    facts = list(inline_facts(notice, clean))
    for count in range(len(facts), -1, -1):
        text = "\n".join(filter(None, [*said, *facts[:count], left_out(notice, count), *tail]))
        if len(text) <= limit:
            return text
    # the note that it is repeated is kept
    lines, last = text.split("\n"), 2 if notice.repeated else 1
    while len(text) > limit and len(lines) > last:
        del lines[-last]
        text = "\n".join(lines)
    return text


def _labelled(notice: Notice, clean: Clean, runbook_url: str | None) -> Iterator[str]:
    """The lines below the summary, each with its label."""
    for label, text in (
        *cause(notice),
        ("First step", first_step(notice)),
        ("How certain", notice.finding.certainty if ongoing(notice) else None),
    ):
        if text:
            yield f"{label}: {clean(text, FACT)}"
    if ongoing(notice) and (place := runbook(notice, runbook_url)):
        yield f"Runbook: {clean(place, _URL)}"
    if ongoing(notice) and (command := show_command(notice)):
        yield f"Details: {command}"


# The parts, in the order in which they are read.


def head(notice: Notice, clean: Clean = cleaned) -> str:
    """`STATUS #NUMBER RULE · TARGET`, at most 147 characters."""
    number = "" if notice.number is None else f" #{notice.number}"
    return f"{notice.status}{number} {clean(notice.rule, _RULE)} · {clean(notice.scope, _SCOPE)}"


def symbol(notice: Notice) -> str:
    """The symbol of its urgency."""
    return _SYMBOLS[notice.severity] if ongoing(notice) else _RESOLVED


def ongoing(notice: Notice) -> bool:
    """Whether something remains to be done or observed: not RESOLVED, and no notice of an end."""
    return notice.status is not NoticeStatus.RESOLVED and notice.until is None


def title(notice: Notice, clean: Clean = cleaned) -> str:
    """Scope, problem in words, and number; at most `TITLE` characters."""
    scope = "" if notice.scope == ALL else f"{_whose(notice, clean)}: "
    if not ongoing(notice):
        after = "" if notice.since is None else f" after {_lasted(notice)}"
        if notice.restored:
            restored = clean(notice.restored, TITLE - len(scope))
            return f"{scope}{restored if scope else _upper(restored)}{_suffix(notice)}"
        together = notice.finding.restored_together if notice.others else ""
        if restored := together or notice.finding.restored:
            after = f"{',' if after else ''}{after}{_suffix(notice)}"
            restored = clean(restored, TITLE - len(scope) - len(after))
            return f"{scope}{restored if scope else _upper(restored)}{after}"
        whose = scope or f"{_upper(clean(notice.rule, _RULE).replace('_', ' '))}: "
        return f"{whose}resolved{after}{_suffix(notice)}"
    suffix = _suffix(notice)
    together = notice.finding.together if notice.others else ""
    what = together or notice.finding.what or notice.sentence.rstrip(".")
    if notice.restored:
        began = notice.news in ("new", "again")
        rest = "open" if notice.recovering else "now" if began else "still"
        what = f"{notice.restored}; {rest}: {what}"
    what = clean(what, TITLE - len(scope) - len(suffix))
    return f"{scope}{what if scope else _upper(what)}{suffix}"


def _whose(notice: Notice, clean: Clean) -> str:
    others = f" and {counted(notice.others, 'other target')}" if notice.others else ""
    return f"{clean(notice.scope, _NAME)}{others}"


def _suffix(notice: Notice) -> str:
    number = "" if notice.number is None else f" · #{notice.number}"
    if notice.recovering and ongoing(notice):
        return f"{number}, recovering"
    if notice.status is not NoticeStatus.STILL_FIRING:
        return number
    if notice.news == "new" and number:
        return f" · new in #{notice.number}"
    if notice.news == "again":
        return f"{number}, again"
    return number if notice.restored else f"{number}, still firing"


def summary(notice: Notice, clean: Clean = cleaned) -> Iterator[str]:
    """Extent, times, money, and what else is wrong. Lines of at most `SUMMARY` characters."""
    parts = _is(notice) if ongoing(notice) else _was(notice)
    if said := " ".join(filter(None, parts)):
        yield clean(said, SUMMARY)
    if notice.targets:
        yield f"Targets: {clean(notice.targets, SUMMARY)}."
    if notice.also:
        named = "; ".join(islice(notice.also, _ALSO))
        more = f" and {len(notice.also) - _ALSO} more" if len(notice.also) > _ALSO else ""
        also = "Also (likely a consequence)" if notice.consequences else "Also"
        yield f"{also if ongoing(notice) else 'Also it was'}: {clean(named, SUMMARY)}{more}."


def _is(notice: Notice) -> Iterator[str]:
    """The present state."""
    finding = notice.finding
    if notice.recovering:
        yield notice.recovering
        return
    extent, _, rest = finding.extent.partition(". ")
    since = ""
    if notice.since is not None and (finding.began or notice.status is not NoticeStatus.NOTICE):
        since = instant(notice.since, now=notice.at)
        since += f" ({_lasted(notice)})" if notice.since < notice.at else ""
    if finding.began and since:
        yield _sentence(f"{finding.began.replace('{since}', since)}{extent}".rstrip(" ,;:"))
    else:
        yield _sentence(", ".join(filter(None, [extent, since and f"since {since}"])))
    yield _money(finding)
    yield _sentence(rest)


def _was(notice: Notice) -> Iterator[str]:
    """What it was, when, and what it cost."""
    when = notice.finding.when
    if not when and notice.since is not None:
        when = span_text(notice.since, notice.until or notice.at, now=notice.at)
    finding = notice.finding
    was = finding.was or (f"It was: {finding.what}" if finding.what else "")
    said = was or notice.sentence.rstrip(".")
    if "{when}" in said:
        said = " ".join(said.replace("{when}", when).replace("{peak}", _peak(notice)).split())
        yield _sentence(said)
    else:  # a notice that an earlier version stored
        yield _sentence(", ".join(filter(None, [said, _worst(notice), when])))
    yield _money(finding)
    yield _sentence(finding.extent)  # the reason of an end that no measurement shows
    if why := known_cause(notice):
        yield _sentence(f"{_cause_label(notice)}: {why}")


def _money(finding: Finding) -> str:
    """What it costs, and that it is the cost of probes, where nothing else is counted."""
    whose = " This is the cost of the monitor's own probes." if finding.of_probes else ""
    return f"{_sentence(finding.money)}{whose}" if finding.money else ""


def _peak(notice: Notice) -> str:
    """The peak of a latency or a share, in a sentence."""
    if notice.peak is None:
        return "some"
    unit = unit_of(notice.rule)
    exact = unit is Unit.MILLISECONDS
    peak = latency_text(float(notice.peak)) if exact else unit.text(notice.peak)
    return f"up to {peak}"


def _worst(notice: Notice) -> str:
    """The peak of a latency or a share, if the finding does not state it."""
    if notice.peak is None or not notice.finding.what:
        return ""
    match unit_of(notice.rule):
        case Unit.MILLISECONDS:
            peak = latency_text(float(notice.peak))
            return "" if peak in notice.finding.was else f"at worst {peak}"
        case Unit.SHARE as unit:
            return f"at worst {unit.text(notice.peak)} of the answers"
        case _:
            return ""


def inline_facts(notice: Notice, clean: Clean = cleaned) -> Iterator[str]:
    """The facts of a notice without an incident, which has no details to look up."""
    if notice.number is None:
        for label, text in islice(notice.facts.items(), FACTS):
            yield f"{clean(label, LABEL)}: {clean(text, FACT)}"


def known_cause(notice: Notice) -> str | None:
    """The likely cause, if one is known; the end of an incident states it as well."""
    relevant = not (ongoing(notice) and notice.recovering)
    return notice.finding.cause or None if relevant else None


def cause(notice: Notice) -> Iterator[tuple[str, str]]:
    """The likely cause and who can fix it, with their label, while the incident is in breach.

    If a cause was looked for in vain, that is stated. Of an end, the summary states the cause.
    """
    if not ongoing(notice) or notice.recovering:
        return
    owner = notice.finding.cause_owner
    if known := known_cause(notice):
        yield _cause_label(notice), known
    elif owner is not None:
        unknown = owner is CauseOwner.CANNOT_TELL
        yield ("Likely cause", UNKNOWN_CAUSE) if unknown else ("Who can fix it", owner)


def _cause_label(notice: Notice) -> str:
    owner = notice.finding.cause_owner
    known = owner not in (None, CauseOwner.CANNOT_TELL)
    return f"Likely cause ({owner})" if known else "Likely cause"


def first_step(notice: Notice) -> str | None:
    """What to do first; None if nothing is to be done."""
    if not ongoing(notice) or notice.in_thread:
        return None
    return notice.finding.first_step or default_step(notice.rule, notice.scope)


def default_step(rule: str, scope: str) -> str | None:
    """The rule's first step for a scope; None if no rule has this name."""
    if rule not in RULES:
        return None
    target = re.sub(r"[^\w.-]", "", scope)  # people copy the step into a shell
    return RULES[rule].first_step.replace("{target}", target)


def runbook(notice: Notice, url: str | None) -> str | None:
    """The rule's section of the runbook: its address, else the command that prints it.

    None if no rule has this name, as for a digest.
    """
    if notice.rule not in RULES:
        return None
    if not url:
        return f"monitor runbook {notice.rule}"
    return f"{quote(url, safe=':/?&=%@~.-_[]')}#{notice.rule}"


def show_command(notice: Notice) -> str | None:
    """The command that prints everything; None for a notice without an incident."""
    return None if notice.number is None else f"monitor incidents show {notice.number}"


def repeated(notice: Notice, channel: str) -> str | None:
    """The note that an earlier attempt may have arrived; None if there was none."""
    return REPEATED.format(channel=channel) if notice.repeated else None


# The details: the evidence, for those who investigate.


def details(notice: Notice) -> Iterator[tuple[str, str]]:
    """Figures, facts, SQL and the ids of rows, as label and text. The text of facts is foreign."""
    yield from figures(notice)
    if notice.number is not None:  # otherwise they are in the message itself
        yield from islice(notice.facts.items(), FACTS)
        if (more := len(notice.facts) - FACTS) > 0:
            yield "More", f"… and {counted(more, 'more fact')}"
    if shown := sql(notice):
        yield "SQL", shown
    if rows := evidence(notice):
        yield "Rows", rows


def figures(notice: Notice) -> Iterator[tuple[str, str]]:
    """Our own figures, as label and text: they contain no markup of any medium."""
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
        end, start = notice.until or notice.at, instant(notice.since, now=notice.at)
        if ongoing(notice):
            yield "Since", f"{start} ({_lasted(notice)})"
        else:
            yield "Lasted", f"{_lasted(notice)}, {start} to {instant(end, now=notice.at)}"


def evidence(notice: Notice) -> str | None:
    """The ids of the rows that prove it, the first few of many; None without rows."""
    if not notice.rows:
        return None
    more = len(notice.rows) - _ROWS
    named = ", ".join(map(str, notice.rows[:_ROWS]))
    return named + (f" and {more} more" if more > 0 else "")


def left_out(notice: Notice, shown: int) -> str | None:
    """How many facts of a notice without an incident did not fit; None if all did."""
    more = len(notice.facts) - shown if notice.number is None else 0
    return f"… and {counted(more, 'more fact')}" if more > 0 else None


def _lasted(notice: Notice) -> str:
    end, count = notice.until or notice.at, notice.finding.breaches
    lasted = lasting(end - (notice.since or end))
    return lasted if count == 1 else f"{count} breaches in {lasted}"


def _sentence(text: str) -> str:
    """The text with a capital first letter and a full stop; empty for an empty text."""
    return f"{_upper(text)}." if text and text[-1] not in ".!?" else _upper(text)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
