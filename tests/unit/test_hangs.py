"""A service that hangs: rounds stretched by our own deadlines are no gap, whatever the interval."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product

import pytest

from monitor.backtest.replay import replay
from monitor.rules import RULES
from tests.probe_notation import NOON
from tests.unit.test_backtest import IDENTITY, probe

HEALTHY_S = 1.0  # what a probe takes while the service is well
HUNG_PROBES = 16
WELL_ROUNDS = 10


def hang(*, every_s: float, hang_s: float, first: int, queries: int = 4) -> Iterator[str]:
    """Rows of a target whose probes hang from query `first` of a round on.

    As the worker asks: queries one after another; a slot that comes while a round is under
    way is skipped. `ts` is when the probe began.
    """
    now, sweep, hung = NOON, 0, 0
    while hung < HUNG_PROBES:
        sweep += 1
        for query in range(queries):
            hanging = sweep > WELL_ROUNDS and (hung > 0 or query == first)
            hung += hanging
            failed = {"ok": False, "error": "timeout", "ttft_ms": None, "model": None}
            yield probe(now, sweep=sweep, query=f"q{query}", **failed if hanging else {})
            now += timedelta(seconds=hang_s if hanging else HEALTHY_S)
        slots = (now - NOON) // timedelta(seconds=every_s) + 1
        now = NOON + slots * timedelta(seconds=every_s)


def told(lines: list[str]) -> tuple[list[str], datetime | None]:
    """The rules that fired within the rows, and when `down` did."""
    rules = {name: rule() for name, rule in RULES.items()}
    fired = [e for e in replay(lines, rules, identity=IDENTITY) if e.event == "fire"]
    downs = [e.at for e in fired if e.rule == "down"]
    return [e.rule for e in fired], downs[0] if downs else None


GRID = list(product((1, 10, 12, 30, 45, 60, 300), (20, 30, 60), (0, 1, 2, 3)))


@pytest.mark.parametrize(
    ("every_s", "hang_s", "first"),
    [  # every fifth: each interval, each deadline and each query are among them
        case if number % 5 == 0 else pytest.param(*case, marks=pytest.mark.slow)
        for number, case in enumerate(GRID)
    ],
)
def test_a_hang_is_down_within_six_probes(every_s: float, hang_s: float, first: int) -> None:
    lines = list(hang(every_s=every_s, hang_s=hang_s, first=first))
    rules, down_at = told(lines)
    assert down_at is not None
    hung = [line for line in lines if '"timeout"' in line]
    by_then = [line for line in hung if datetime.fromisoformat(line.split('"')[3]) <= down_at]
    assert len(by_then) <= 6
    assert "no_data" not in rules
    assert "ttft" in rules, "three rounds without a first token are slow as well"


@pytest.mark.parametrize("queries", [1, 2, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("every_s", [1, 10, 60, 300])
def test_however_many_queries_a_round_has(every_s: float, queries: int) -> None:
    lines = list(hang(every_s=every_s, hang_s=30, first=0, queries=queries))
    _, down_at = told(lines)
    assert down_at is not None
    hung = [line for line in lines if '"timeout"' in line]
    by_then = [line for line in hung if datetime.fromisoformat(line.split('"')[3]) <= down_at]
    assert len(by_then) <= 6


@pytest.mark.parametrize("ended", [False, True], ids=["ts is the start", "ts is the end"])
@pytest.mark.parametrize(("every_s", "hang_s"), [(1, 90), (10, 120), (10, 180), (30, 240)])
def test_rows_do_not_say_how_long_a_deadline_was(
    every_s: float, hang_s: float, ended: bool
) -> None:
    lines = list(hang(every_s=every_s, hang_s=hang_s, first=0))
    if ended:
        taken = [hang_s if '"timeout"' in line else HEALTHY_S for line in lines]
        lines = [_later(line, seconds) for line, seconds in zip(lines, taken, strict=True)]
    rules, down_at = told(lines)
    assert down_at is not None
    hung = [line for line in lines if '"timeout"' in line]
    by_then = [line for line in hung if datetime.fromisoformat(line.split('"')[3]) <= down_at]
    assert len(by_then) <= 6
    assert "no_data" not in rules


def _later(line: str, seconds: float) -> str:
    at = line.split('"')[3]
    return line.replace(at, (datetime.fromisoformat(at) + timedelta(seconds=seconds)).isoformat())
