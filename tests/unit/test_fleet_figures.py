"""The arithmetic of `benchmarks.fleet`: rounds, requests and rows put together."""

from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

from benchmarks.fleets.figures import (
    AskedProbe,
    FleetWindow,
    ServedRounds,
    StoredProbe,
    between,
    bound_of,
    read_log,
    served,
    together,
)
from tests.case_tables import each

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AFTER = {"a": timedelta(seconds=10), "b": timedelta(seconds=40)}
# Due: a at 12:00:10 and 12:01:10, b at 12:00:40 and 12:01:40.
WINDOW = FleetWindow(NOON, NOON + 2 * MINUTE, MINUTE, AFTER)
TIMES = {"a1": 10, "b1": 40, "a2": 70, "b2": 100}


def asked(name: str, *, late_s: float = 0, id: str | None = None) -> AskedProbe:
    at = NOON + timedelta(seconds=TIMES[name] + late_s)
    return AskedProbe(id or name, name[0], at, 500.0)


def row(name: str, *, ttft_ms: float = 500.5, stamp: str = "kernel", **given: str) -> StoredProbe:
    slot = NOON + (TIMES[name] // 60) * MINUTE
    return StoredProbe(given.get("id", name), slot, given.get("origin", "round"), ttft_ms, stamp)


ASKED, ROWS = [asked(name) for name in TIMES], [row(name) for name in TIMES]
LATE = [asked("a1", late_s=70), *ASKED[1:]]


@each(
    "case, probes, rows, expected",
    [
        # due, missed, doubled, lost, degraded
        ("all served", ASKED, ROWS, (4, 0, 0, 0, 0)),
        ("nothing asked", [], [], (4, 4, 0, 0, 0)),
        ("one not asked", ASKED[1:], ROWS[1:], (4, 1, 0, 0, 0)),
        ("one asked and not stored", ASKED, ROWS[1:], (4, 0, 0, 1, 0)),
        ("one asked twice, stored once", [*ASKED, asked("a1", id="again")], ROWS, (4, 0, 1, 1, 0)),
        ("a burst is no round", [*ASKED, asked("a1", id="more")],
         [*ROWS, row("a1", id="more", origin="burst")], (4, 0, 0, 0, 0)),
        ("the row says whose slot it was", LATE, ROWS, (4, 0, 0, 0, 0)),
        ("degraded samples have no error", ASKED, [row(n, stamp="degraded") for n in TIMES],
         (4, 0, 0, 0, 4)),
    ],
    ids=lambda row: row[0],
)  # fmt: skip
def test_each_due_round_counts_as_served_missed_doubled_or_lost(
    case: str, probes: list[AskedProbe], rows: list[StoredProbe], expected: tuple[int, ...]
) -> None:
    found = served(WINDOW, probes, rows)
    assert (found.due, found.missed, found.doubled, found.lost, found.degraded) == expected


def test_delays_are_measured_from_the_time_a_round_was_due_and_errors_from_the_truth() -> None:
    probes = [asked("a1", late_s=0.25), *ASKED[1:]]
    found = served(WINDOW, probes, ROWS)
    assert found == ServedRounds(
        due=4, missed=0, doubled=0, lost=0, degraded=0,
        delays=[0, 0, 0, 0.25], errors=[0.5] * 4,
    )  # fmt: skip


def test_the_log_of_the_service_is_read_by_the_wall_clock(tmp_path: Path) -> None:
    log, epoch_ns = tmp_path / "log", int(NOON.timestamp()) * 10**9
    log.write_text("x,a,1000000000,1250000000\ny,a,2000000000,0\n", encoding="utf-8")
    second = timedelta(seconds=1)
    assert read_log(log, epoch_ns) == [
        AskedProbe("x", "a", NOON + second, 250.0),
        AskedProbe("y", "a", NOON + 2 * second, None),
    ]


def test_histograms_of_several_workers_are_added_and_read_at_a_share() -> None:
    first = between({0.1: 5, 1: 6, inf: 6}, {0.1: 6, 1: 9, inf: 9})
    assert first == {0.1: 1, 1: 3, inf: 3}
    both = together([first, {0.1: 4, 1: 6, inf: 7}])
    assert both == {0.1: 5, 1: 9, inf: 10}
    assert [bound_of(both, share) for share in (0.5, 0.9, 0.99)] == [0.1, 1, inf]
    assert bound_of({}, 0.5) is None
