"""Mode `immediate`: each canned query has its own state, whatever the others do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.backtest.replay import replay
from monitor.domain import VerdictState
from monitor.rules import FallbackRule, TtftRule, Window
from tests.probe_notation import EVERY, HAIKU, LLAMA, NOON, incident, sample
from tests.unit.test_backtest import IDENTITY, probe

LITERAL: dict[str, Any] = {
    "ttft": TtftRule(mode="immediate"), "fallback": FallbackRule(mode="immediate"),
}  # fmt: skip


def rounds(*latencies: Sequence[int], **changes: Any) -> list[str]:
    """Rounds of queries q0, q1, … by their TTFT in ms, one after another."""
    return [
        probe(NOON + n * EVERY + query * timedelta(seconds=2), sweep=n, query=f"q{query}",
              ttft_ms=ms, **changes)
        for n, each in enumerate(latencies)
        for query, ms in enumerate(each)
    ]  # fmt: skip


def told(lines: list[str]) -> list[tuple[str, str, str]]:
    """Rule, event and the first words of each event."""
    found = replay(lines, LITERAL, identity=IDENTITY)
    return [(e.rule, e.event, " ".join(e.because.split()[:2])) for e in found]


def test_a_query_that_is_always_over_fires_once_and_no_other_makes_it_flap() -> None:
    assert told(rounds(*[(519, 1301, 1182)] * 50)) == [("ttft", "fire", "Query q1")]


def test_a_second_query_fires_as_well_and_each_ends_by_itself() -> None:
    lines = rounds(
        (519, 1301, 1100), (519, 1301, 1100), (519, 1301, 1500), (519, 1301, 1500),
        (519, 1301, 1100), (519, 1000, 1100), (519, 1000, 1100), (1201, 1000, 1100),
    )  # fmt: skip
    assert told(lines) == [
        ("ttft", "fire", "Query q1"),
        ("ttft", "fire", "Query q2"),
        ("ttft", "resolve", "Query q2"),
        ("ttft", "resolve", "Query q1"),
        ("ttft", "fire", "Query q0"),
    ]


def test_events_name_the_target_and_messages_are_of_two_incidents() -> None:
    fired = list(replay(rounds((1300, 1400, 900)), LITERAL, identity=IDENTITY))
    assert [(e.target, e.event) for e in fired] == [("backtest", "fire")] * 2
    notices = [e.notice for e in fired if e.notice]
    assert len({notice.id for notice in notices}) == 2
    assert all((notice.rule, notice.scope) == ("ttft", "backtest") for notice in notices)


def test_a_query_that_always_falls_back_fires_once() -> None:
    lines = [
        probe(NOON + n * EVERY + q * timedelta(seconds=2), sweep=n, query=f"q{q}",
              model=HAIKU if q == 1 else LLAMA)
        for n in range(20) for q in range(3)
    ]  # fmt: skip
    assert [(rule, event) for rule, event, _ in told(lines)] == [("fallback", "fire")]


@pytest.mark.parametrize(
    ("stored_s", "state"),
    [(9, VerdictState.OK), (11, VerdictState.BREACH)],  # the incident ended in second 10
    ids=["stored before the end, so it was judged", "stored after it"],
)
def test_a_probe_under_way_when_the_incident_ended_is_judged_once_it_is_stored(
    stored_s: int, state: VerdictState
) -> None:
    ended = replace(
        incident("ttft", opened_at=NOON - EVERY), resolved_at=NOON + timedelta(seconds=10)
    )
    late = sample(at=NOON + timedelta(seconds=5), ttft_ms=1500.0,
                  recorded_at=NOON + timedelta(seconds=stored_s))  # fmt: skip
    good = sample(at=NOON + timedelta(seconds=6), ttft_ms=900.0,
                  recorded_at=NOON + timedelta(seconds=7))  # fmt: skip
    seen = Window.of([late, good], scope="rag", every=EVERY, queries=1)
    now = NOON + timedelta(seconds=20)
    assert TtftRule(mode="immediate").judge(seen, ended, now).state is state
    already = replace(ended, rows=(late.id,))
    assert TtftRule(mode="immediate").judge(seen, already, now).state is VerdictState.OK
