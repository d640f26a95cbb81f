"""What `monitor watch` shows of a state, in wide and in narrow terminals."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from monitor.cli.watch import LATE, state
from monitor.config import ConfigError, ConfigErrors
from monitor.domain.report import LastProbe, LastRound, StatusSnapshot
from monitor.reports.status import status_json, status_page
from monitor.worker import reload
from monitor.worker.context import WorkerState
from monitor.worker.status_pages import not_interpreted
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


def test_what_is_wrong_with_the_monitor_itself_is_shown() -> None:
    noted = replace(FOUND, notes=(not_interpreted("rag", 2),))
    for text in (shown(noted, 200), status_page(noted), status_json(noted)):
        assert "rag: 2 answers were not interpreted in the last hour" in text
    assert json.loads(status_json(noted))["well"] is False


async def test_a_refused_configuration_is_shown_until_a_valid_one_is_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the same error was refused before, which sends no second message."""
    state = WorkerState()
    context: Any = SimpleNamespace(
        state=state, now=lambda: NOON, worker="w", settings=SimpleNamespace(source="monitor.toml")
    )

    def refuse() -> None:
        raise ConfigErrors([ConfigError("rules.ttft.limit_mss", None, "unknown key")])

    monkeypatch.setattr(reload, "load", refuse)
    for _ in range(2):
        assert await reload.reread(context) is None
        assert (state.refused or "").endswith("First error: rules.ttft.limit_mss: unknown key")
    monkeypatch.setattr(reload, "load", lambda: context.settings)
    assert await reload.reread(context) is context.settings
    assert state.refused is None
