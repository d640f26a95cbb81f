"""The status page, its badges and its JSON: the present state, rendered on request.

Every text is from a service or a configuration and is escaped by the templates.
"""

import json
from decimal import Decimal

from markupsafe import Markup

from monitor.domain.report import IncidentRow, LastRound, StatusSnapshot
from monitor.redaction import plain
from monitor.reports.axes import ms
from monitor.reports.html import policy, rendered, style
from monitor.reports.verdict import StateSentence, spend_today, state_sentences

JSON_VERSION = 1  # of /status.json: increases if a key is removed or changes its meaning
REFRESH_S = 30
STYLES = ("page.css",)
_WIDE = 6.6  # pixels of a badge's character; the text is fitted to its box


def status_policy() -> str:
    """The content security policy of the page, for the response header."""
    return policy(style(*STYLES))


def status_page(found: StatusSnapshot) -> str:
    return rendered(
        "status.html",
        style=Markup(style(*STYLES)),  # noqa: S704  a file of ours
        refresh=REFRESH_S,
        title=", ".join(item.target for item in found.rounds[:4]) or "no target",
        found=found,
        sentences=_sentences(found),
        spend=spend_today(found),
    )


def status_json(found: StatusSnapshot) -> str:
    """The JSON that docs/metrics-endpoint.md describes; amounts are decimal strings."""
    sentences = _sentences(found)
    spend = found.spend
    return json.dumps(
        {
            "version": JSON_VERSION,
            "made_at": found.made_at.isoformat(),
            "well": not any(item.bad for item in sentences),
            "sentences": [item.text for item in sentences],
            "targets": [_target(item, found) for item in found.rounds],
            "incidents": [_incident(item) for item in found.incidents],
            "spend": None
            if spend is None
            else {
                "day": spend.day.isoformat(),
                "usd": _amount(spend.total_usd),
                "usd_at_most": _amount(spend.high_usd),
                "at_least": spend.at_least,
                "limit_usd": _amount(found.spend_limit_usd),
            },
        },
        ensure_ascii=False,
    )


def status_badge(found: StatusSnapshot, target: str) -> str | None:
    """An image with the target's name and state; None if no target has this name."""
    last = next((item for item in found.rounds if item.target == target), None)
    if last is None:
        return None
    text, bad = _state(last, found)
    left, right = (round(_WIDE * len(part)) + 12 for part in (target, text))
    return rendered("badge.svg", name=target, text=text, bad=bad, left=left, right=right)


def _state(last: LastRound, found: StatusSnapshot) -> tuple[str, bool]:
    if found.trouble:
        return "unknown", True
    rules = sorted({item.rule for item in found.incidents if item.scope in (last.target, "all")})
    if rules:
        return plain(", ".join(rules), 60), True
    if last.overdue(found.made_at):
        return "no data", True
    measured = [probe.ttft_ms for probe in last.probes if probe.ttft_ms is not None]
    middle = sorted(measured)[len(measured) // 2] if measured else None
    return ("well" if middle is None else f"well, {ms(middle)}"), False


def _sentences(found: StatusSnapshot) -> tuple[StateSentence, ...]:
    if found.trouble:
        return (StateSentence(found.trouble, bad=True),)
    notes = (StateSentence(note, bad=True) for note in found.notes)
    return (*state_sentences(found.rounds, found.incidents, now=found.made_at), *notes)


def _target(item: LastRound, found: StatusSnapshot) -> dict[str, object]:
    return {
        "name": item.target,
        "every_s": item.every.total_seconds() if item.every else None,
        "overdue": item.overdue(found.made_at),
        "last_round_at": item.at.isoformat() if item.at else None,
        "probes": [
            {
                "query": probe.query,
                "region": probe.region,
                "outcome": probe.outcome,
                "good": probe.good,
                "ttft_ms": probe.ttft_ms,
                "model": probe.model,
                "identity": probe.identity,
                "cost_usd": _amount(probe.cost_usd),
                "check_failed": probe.check_failed,
            }
            for probe in item.probes
        ],
    }


def _incident(item: IncidentRow) -> dict[str, object]:
    return {
        "number": item.number,
        "rule": item.rule,
        "scope": item.scope,
        "opened_at": item.opened_at.isoformat(),
        "since": item.since.isoformat(),
        "peak": _value(item.peak),
        "limit": _value(item.limit),
        "sentence": item.sentence,
    }


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _value(value: float | Decimal | None) -> float | None:
    return None if value is None else float(value)
