"""Mutes and maintenance windows: who is silent, when, in which zone."""

from datetime import UTC, datetime, time, timedelta

import pytest

from monitor.incidents.silences import MaintenanceWindow, Mute, is_silenced
from tests.case_tables import each
from tests.probe_notation import NOON

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("rule", "scope", "covered"),
    [
        ("ttft", "rag", True),
        ("fallback", "rag", False),
        ("ttft", "other", False),
        ("key", "openrouter", False),
    ],
)
def test_a_mute_is_of_one_rule_and_one_target(rule: str, scope: str, covered: bool) -> None:
    mute = Mute(rule="ttft", scope="rag", until=NOON, reason="being mended")
    assert is_silenced([mute], rule, scope, now=NOON - HOUR) is covered


def test_a_mute_of_all_covers_everything() -> None:
    mute = Mute(until=NOON, reason="moving house")
    assert is_silenced([mute], "key", "openrouter", now=NOON - HOUR)


@pytest.mark.parametrize(("seconds", "covered"), [(-1, True), (0, False), (1, False)])
def test_a_mute_ends_when_it_says(seconds: int, covered: bool) -> None:
    mute = Mute(until=NOON, reason="being mended")
    assert is_silenced([mute], "ttft", "rag", now=NOON + timedelta(seconds=seconds)) is covered


ROME = MaintenanceWindow(days=("sun",), start=time(2), end=time(4), timezone="Europe/Rome")


@each(
    ("at", "covered"),
    [
        (datetime(2026, 11, 22, 0, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 22, 1, 0, tzinfo=UTC), True),  # two in Rome
        (datetime(2026, 11, 22, 2, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 22, 3, 0, tzinfo=UTC), False),
        (datetime(2026, 11, 23, 1, 0, tzinfo=UTC), False),  # a Monday
        (datetime(2026, 7, 19, 0, 30, tzinfo=UTC), True),  # in summer two hours ahead
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), True),  # clocks go back: 02:30 comes twice
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), True),
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), True),  # clocks go from two to three
        (datetime(2026, 3, 29, 2, 0, tzinfo=UTC), False),
    ],
)
def test_a_window_comes_again_in_the_wall_time_of_its_zone(at: datetime, covered: bool) -> None:
    assert is_silenced([ROME], "ttft", "rag", now=at) is covered


@pytest.mark.parametrize(
    ("at", "covered"),
    [
        (datetime(2026, 11, 22, 21, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 22, 22, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 23, 1, 59, tzinfo=UTC), True),  # Monday, still Sunday's window
        (datetime(2026, 11, 23, 2, 0, tzinfo=UTC), False),
        (datetime(2026, 11, 22, 1, 0, tzinfo=UTC), False),  # Saturday has none
    ],
)
def test_a_window_that_ends_before_it_starts_lasts_into_the_next_day(
    at: datetime, covered: bool
) -> None:
    night = MaintenanceWindow(days=("sun",), start=time(22), end=time(2))
    assert is_silenced([night], "ttft", "rag", now=at) is covered


def test_a_window_may_be_of_one_rule_and_target() -> None:
    window = MaintenanceWindow(days=("mon",), start=time(0), end=time(0), rule="ttft", scope="rag")
    assert is_silenced([window], "ttft", "rag", now=NOON)
    assert not is_silenced([window], "ttft", "other", now=NOON)
    assert not is_silenced([window], "down", "rag", now=NOON)
