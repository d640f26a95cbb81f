"""What `monitor watch` shows of a state, in wide and in narrow terminals."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from monitor.cli.watch import LATE, state
from monitor.domain.report import LastProbe, LastRound, StatusSnapshot
from tests.example_data import HAIKU, LLAMA, NOON


def probe(query: str, **changes: object) -> LastProbe:
    ordinary = LastProbe(
        target="rag",
        query=query,
        region="local",
        slot=NOON,
        started_at=NOON,
        error=None,
        outcome="answered",
        ttft_ms=323.0,
        model=LLAMA,
        identity="expected",
        cost_usd=Decimal("0.0002"),
        good=True,
    )
    return replace(ordinary, **changes)  # type: ignore[arg-type]


FOUND = StatusSnapshot(
    version="1",
    made_at=NOON + timedelta(minutes=2),
    zone=ZoneInfo("UTC"),
    rounds=(
        LastRound(
            target="rag",
            every=timedelta(minutes=5),
            probes=(
                probe("hi"),
                probe("who", model=HAIKU, identity="fallback", ttft_ms=1240.0),
                probe("kbli", good=False, outcome="http_status", ttft_ms=None, model=None),
            ),
        ),
        LastRound(target="new", every=timedelta(minutes=5)),
    ),
    spend_limit_usd=Decimal(2),
)


def shown(found: StatusSnapshot, width: int) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as written:
        console.print(state(found, width))
    return written.get()


def test_a_wide_terminal_shows_everything() -> None:
    text = shown(FOUND, 160)
    assert "hi 323 ms · who 1,240 ms · kbli ✗ http_status" in text
    assert "Llama 4 Scout, Claude Haiku 4.5 (fallback)" in text
    assert "2 min ago" in text
    assert "$0.0006" in text
    assert "not probed yet" in text
    assert "spent today: not computed yet" in text


@pytest.mark.parametrize(("width", "missing"), [(90, "$0.0006"), (70, "Haiku"), (50, "min ago")])
def test_a_narrow_terminal_loses_columns_before_words(width: int, missing: str) -> None:
    text = shown(FOUND, width)
    assert missing not in text
    assert {"kbli", "http_status", "1,240", "probed"} <= {*text.split()}
    assert max(map(len, text.splitlines())) <= width


def test_a_state_that_could_not_be_renewed_says_so() -> None:
    assert LATE in shown(replace(FOUND, trouble=LATE), 100)
