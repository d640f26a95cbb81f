"""The judgement and its evidence in the output of `monitor incidents show`."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from monitor.domain import Incident, latency_text, usd_text
from monitor.notifications.plain_text import default_step
from monitor.notifications.slack.escaping import evidence_sql
from monitor.redaction import plain
from monitor.rules import unit_of
from monitor.storage.incident_details import AnswerExcerpts, IncidentQuery

_LINE = 2_000  # characters of a line; texts may be foreign


def parts(incident: Incident) -> Iterator[tuple[str, str]]:
    """The parts of its messages, label and text."""
    finding, unit = incident.finding, unit_of(incident.rule)
    step = finding.first_step or default_step(incident.rule, incident.scope)
    limit = None if incident.limit is None else unit.text(incident.limit, limit=incident.limit)
    value, peak = (
        None if number is None else unit.text(number, limit=incident.limit)
        for number in (incident.value, incident.peak)
    )
    for label, said in (
        ("what", finding.what),
        ("extent", finding.extent),
        ("money", finding.money),
        ("whose cost", "the monitor's own probes" if finding.money and finding.of_probes else ""),
        ("likely cause", finding.cause),
        ("who can fix it", finding.cause_owner),
        ("first step", step if incident.open else None),
        ("how certain", finding.certainty),
        ("value", value),
        ("peak", peak),
        ("limit", limit),
    ):
        if said:
            yield label, said


def evidence(
    incident: Incident,
    figures: Sequence[IncidentQuery],
    answers: AnswerExcerpts | None,
    *,
    now: datetime,
) -> Iterator[str]:
    """Figures of each query, an answer now and before, the query to run, the ids of rows."""
    for item in figures:
        yield plain(f"query {item.query} of {item.target}: {', '.join(_said(item))}", _LINE)
    for label, said in (answers.facts(in_breach=incident.in_breach) if answers else {}).items():
        yield plain(f"{label}: {said}", _LINE)
    if shown := evidence_sql(
        incident.rule, incident.scope, since=incident.began_at, until=incident.resolved_at or now
    ):
        yield f"SQL: {shown}"
    if incident.rows:
        yield "observations: " + ", ".join(map(str, incident.rows))


def _said(item: IncidentQuery) -> Iterator[str]:
    yield f"{item.probes:,} probes"
    yield f"{item.failed:,} failed"
    if item.ttft_ms is not None:
        before = item.ttft_before_ms
        yield f"median TTFT {latency_text(item.ttft_ms)}" + (
            f" (before {latency_text(before)})" if before is not None else ""
        )
    if item.cost_usd is not None:
        usual = item.cost_before_usd
        yield f"{usd_text(item.cost_usd)} an answer" + (
            f" (before {usd_text(usual)})" if usual is not None else ""
        )
    if item.models:
        yield f"answered by {', '.join(item.models)}"
