"""What a rule's limits may be: each fault names the key, the value and the remedy."""

from dataclasses import replace
from decimal import Decimal
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from monitor.domain import Incident, Sample, Verdict

CERTAIN = "certain (100 %)"  # counted, summed or read, not inferred


def positive(rule: Any, *keys: str) -> None:
    """Every key of the rule is a finite number above zero."""
    for key in keys:
        value: float | Decimal = getattr(rule, key)
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{key} = {value}: write a number above 0")


def at_least(rule: Any, least: int, *keys: str) -> None:
    """Every key of the rule is `least` or more."""
    for key in keys:
        if getattr(rule, key) < least:
            raise ValueError(f"{key} = {getattr(rule, key)}: write a number of at least {least}")


def between(rule: Any, low: float, high: float, *keys: str) -> None:
    """Every key of the rule lies between the two, ends included."""
    for key in keys:
        if not low <= getattr(rule, key) <= high:
            raise ValueError(
                f"{key} = {getattr(rule, key)}: write a number between {low:g} and {high:g}"
            )


def at_most(rule: Any, key: str, *, of: str) -> None:
    """One key of the rule is no larger than another."""
    if getattr(rule, key) > getattr(rule, of):
        raise ValueError(
            f"{key} = {getattr(rule, key)}: write at most {of}, which is {getattr(rule, of)}"
        )


def zone(rule: Any, key: str) -> None:
    """The key names a zone of the tz database."""
    try:
        ZoneInfo(getattr(rule, key))
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f'{key} = {getattr(rule, key)!r}: write a zone such as "UTC" or "Europe/Rome"'
        ) from None


# Mode `immediate`: each probe is taken literally, and each canned query has its own state.
#
# The caller gives such a rule a window of one query after the other, each with the latest
# incident of that query, so that a query that is always over the limit hides no other and
# flaps with none. Source: docs/alerts.md#ttft


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


def unseen(sample: Sample, latest_incident: Incident | None) -> bool:
    """Whether a sample may be unjudged: it was stored after the last evaluation.

    A probe that was running then began before it, so its start is not sufficient.
    """
    if latest_incident is None:
        return True
    stored_at = sample.recorded_at or sample.at
    return stored_at > latest_incident.turned_at and sample.id not in latest_incident.rows
