"""Mode `immediate`: each probe is taken literally, and each canned query has its own state.

Whoever judges hands such a rule a window of one query after the other, each with the latest
incident of that query, so that a query that is always over the limit hides no other and
flaps with none. Source: docs/alerts.md#ttft
"""

from dataclasses import replace

from monitor.domain import Incident, Sample, Verdict


def is_literal(rule: object) -> bool:
    """Whether a rule judges one canned query at a time."""
    return getattr(rule, "mode", None) == "immediate"


def of_query(verdict: Verdict, query: str) -> Verdict:
    """A verdict on one canned query; its sentence names the query."""
    named = verdict.because.startswith(f"Query {query} ")
    because = verdict.because if named else f"Query {query}: {verdict.because}"
    return replace(verdict, query=query, because=because)


def unseen(sample: Sample, latest_incident: Incident | None) -> bool:
    """Whether nobody may have judged a sample: it was stored after the last turn.

    A probe that was under way then began before it, so its beginning does not tell.
    """
    if latest_incident is None:
        return True
    stored_at = sample.recorded_at or sample.at
    return stored_at > latest_incident.turned_at and sample.id not in latest_incident.rows
