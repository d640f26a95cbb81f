"""`probe_budget`: what our own probes may cost a day."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from monitor.domain import Incident, Spend, VerdictState
from monitor.rules import ProbeBudgetRule, ProbeUsage
from tests.probe_notation import NOON, incident

MIDNIGHT = NOON - timedelta(hours=12)
TODAY, YESTERDAY = "2026-11-23", "2026-11-22"


def probing(usd: str, probes: int = 864) -> ProbeUsage:
    ends_at = MIDNIGHT + timedelta(days=1)
    return ProbeUsage(
        Spend(day=NOON.date(), starts_at=MIDNIGHT, ends_at=ends_at, total_usd=Decimal(usd)), probes
    )


@pytest.mark.parametrize(
    ("usd", "probes", "state"),
    [
        ("0.499999", 864, VerdictState.OK),
        ("0.50", 864, VerdictState.BREACH),  # reached: probing stops
        ("0.01", 19_999, VerdictState.OK),
        ("0.01", 20_000, VerdictState.BREACH),
    ],
)
def test_a_reached_budget_is_a_breach(usd: str, probes: int, state: VerdictState) -> None:
    assert ProbeBudgetRule().judge(probing(usd, probes), None, NOON).state is state


def test_the_sentence_says_until_when_probing_pauses() -> None:
    verdict = ProbeBudgetRule().judge(probing("0.51"), None, NOON)
    assert verdict.because == (
        "864 probes of 2026-11-23 cost $0.51; budget $0.50, 20000 probes. "
        "Probing pauses until 00:00 UTC."
    )
    assert (verdict.scope, verdict.once) == ("all", TODAY)


@pytest.mark.parametrize(
    ("once", "usd", "state"),
    [
        (TODAY, "0.60", VerdictState.BREACH),
        (TODAY, "0.40", VerdictState.HOLD),  # a raised budget does not unsay it
        (YESTERDAY, "0.00", VerdictState.OK),
        (YESTERDAY, "0.60", VerdictState.OK),  # ends the old day's first
    ],
)
def test_the_incident_ends_with_its_day(once: str, usd: str, state: VerdictState) -> None:
    latest_incident: Incident = incident("probe_budget", scope="all", once=once)
    assert ProbeBudgetRule().judge(probing(usd), latest_incident, NOON).state is state


def test_a_senseless_limit_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match="limit_usd = 0: write a number above 0"):
        ProbeBudgetRule(limit_usd=Decimal(0))


def test_answers_of_unknown_model_count_as_the_most_expensive_declared_one() -> None:
    seen = probing("0.10")
    verdict = ProbeBudgetRule().judge(
        replace(seen, day=replace(seen.day, margin_usd=Decimal("0.40"))), None, NOON
    )
    assert (verdict.state, verdict.value) == (VerdictState.BREACH, Decimal("0.50"))
    assert verdict.because.startswith(
        "864 probes of 2026-11-23 cost between $0.10 and $0.50; budget $0.50"
    )
