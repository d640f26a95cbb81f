"""Validation of rules' limits. Each error names the key, the value and the remedy."""

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from monitor.domain import Finding, Incident, Sample, Verdict, VerdictState


def positive(rule: Any, *keys: str) -> None:
    """Require that every key is a finite number above zero. Raises ValueError."""
    for key in keys:
        value: float | Decimal = getattr(rule, key)
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{key} = {value}: write a number above 0")


def at_least(rule: Any, least: int, *keys: str) -> None:
    """Require that every key is `least` or more. Raises ValueError."""
    for key in keys:
        if getattr(rule, key) < least:
            raise ValueError(f"{key} = {getattr(rule, key)}: write a number of at least {least}")


def between(rule: Any, low: float, high: float, *keys: str) -> None:
    """Require that every key lies between the two limits, inclusive. Raises ValueError."""
    for key in keys:
        if not low <= getattr(rule, key) <= high:
            raise ValueError(
                f"{key} = {getattr(rule, key)}: write a number between {low:g} and {high:g}"
            )


def at_most(rule: Any, key: str, *, of: str) -> None:
    """Require that one key is not greater than another. Raises ValueError."""
    if getattr(rule, key) > getattr(rule, of):
        raise ValueError(
            f"{key} = {getattr(rule, key)}: write at most {of}, which is {getattr(rule, of)}"
        )


def zone(rule: Any, key: str) -> None:
    """Require that the key names a zone of the tz database. Raises ValueError."""
    try:
        ZoneInfo(getattr(rule, key))
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f'{key} = {getattr(rule, key)!r}: write a zone such as "UTC" or "Europe/Rome"'
        ) from None


# Mode `immediate`: each probe counts alone, and each canned query has its own state.
#
# The caller passes the window of one query after another, each with the latest incident of that
# query. So a query that is always over the limit does not hide another one. Source:
# docs/alerts.md#ttft


def is_literal(rule: object) -> bool:
    """Whether a rule judges one canned query at a time."""
    return getattr(rule, "mode", None) == "immediate"


def of_query(verdict: Verdict, query: str) -> Verdict:
    """A verdict on one canned query; its sentence names the query."""
    named = verdict.because.startswith(f"Query {query} ")
    because = verdict.because if named else f"Query {query}: {verdict.because}"
    finding = verdict.finding
    if finding.what and f"query {query}" not in finding.what:
        what, was = f"{finding.what} (query {query})", f"{finding.was} (query {query})"
        finding = replace(finding, what=what, was=was if finding.was else "")
    return replace(verdict, query=query, because=because, finding=finding)


def unjudged_end(verdict: Verdict, reason: str, incident: Incident) -> Verdict:
    """The end of an incident that cannot be judged any longer; it claims no recovery."""
    return replace(
        verdict,
        state=VerdictState.OK,
        because=f"{reason}; closed without a final check.",
        literal=True,
        since=incident.until or incident.last_breach_at,
        finding=Finding(extent=f"{reason}; closed without a final check"),
    )


def removed(queries: Collection[str]) -> str:
    """That queries are no longer configured."""
    named = ", ".join(sorted(queries))
    return f"{'Query' if len(queries) == 1 else 'Queries'} {named} removed from the configuration"


def unseen(sample: Sample, latest_incident: Incident | None) -> bool:
    """Whether a sample may be unjudged: it was stored after the last evaluation.

    A probe that was running then began before it, so its start is not sufficient.
    """
    if latest_incident is None:
        return True
    stored_at = sample.recorded_at or sample.at
    return stored_at > latest_incident.turned_at and sample.id not in latest_incident.rows
