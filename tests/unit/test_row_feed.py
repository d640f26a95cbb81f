"""Looks at the latest rows: each row once, whenever its transaction commits."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from monitor.storage import row_feed
from monitor.storage.row_feed import FEW, QUICK, WHOLE, Look, RowFeed

START = datetime(2026, 11, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
Row = tuple[int, datetime, float]  # id, when its transaction began, when it committed (steady)


class Rows:
    """A table, and the clock of its database; `look` is the condition of `stored_after`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.steady_s, self.all = START, 100.0, list[Row]()
        self.returned = self.shortened = 0
        monkeypatch.setattr(row_feed.time, "monotonic", lambda: self.steady_s)

    def passes(self, seconds: float, *, step: timedelta = timedelta(0)) -> None:
        self.steady_s += seconds
        self.now += seconds * SECOND + step

    def store(self, took_s: float) -> int:
        self.all.append((len(self.all), self.now, self.steady_s + took_s))
        return len(self.all) - 1

    def read(self, look: Look[int]) -> Iterator[Row]:
        if look.latest is not None:
            since, until = look.counted
            stored = sum(since < at <= until and over <= self.steady_s for _, at, over in self.all)
            if stored == look.expected and self.now >= until:
                self.shortened += 1
                look = look.latest
        known, since = set(look.known), min(look.after, self.now) - look.span
        for row in self.all[-10_000:]:
            if row[1] > since and row[2] <= self.steady_s and row[0] not in known:
                self.returned += 1
                yield row

    def follow(self, feed: RowFeed[int]) -> list[int]:
        new = feed.take(self.read(feed.look()), lambda row: (row[0], row[1]))
        feed.forget(self.now)
        return [row[0] for row in new]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("a_second", [3, 60])
def test_each_row_is_read_once_and_soon(
    monkeypatch: pytest.MonkeyPatch, seed: int, a_second: int
) -> None:
    """Most transactions take milliseconds, some up to a minute."""
    rows, random, feed = Rows(monkeypatch), Random(seed), RowFeed[int](START)
    seen: list[int] = []
    for _ in range(120):
        for _ in range(a_second):
            took_s = random.choice([0.01] * 30 + [4, 20, 59.5])
            rows.store(took_s)
        rows.passes(1)
        seen += rows.follow(feed)
        until = rows.steady_s - (row_feed.WHOLE_AGAIN_S + 1)
        assert {row[0] for row in rows.all[-100 * a_second :] if row[2] < until} <= set(seen)
    assert len(seen) == len(set(seen))
    assert len(feed.known) < 100 * a_second + FEW, "it does not grow"
    if a_second == 60:
        assert rows.returned < 1.5 * len(seen), "few rows are read in vain"


def test_a_long_look_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise short looks would go on, and leave out what was committed late."""
    rows, feed = Rows(monkeypatch), RowFeed[int](START)
    seen: list[int] = []
    late = rows.store(50)
    for second in range(100):
        for _ in range(60):
            rows.store(0.01)
        rows.passes(1)
        look = feed.look()
        if 45 <= second < 95 and look.span == WHOLE:
            continue  # a time limit ends the statement
        seen += [row[0] for row in feed.take(rows.read(look), lambda row: (row[0], row[1]))]
        feed.forget(rows.now)
    assert late in seen
    assert len(seen) == len(rows.all)


def test_no_row_is_missed_while_a_clock_that_was_set_back_catches_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor after a pause: rows are stored before those that are counted."""
    rows, feed = Rows(monkeypatch), RowFeed[int](START)
    seen: list[int] = []
    for second in range(120):
        for _ in range(30):
            rows.store(0.01)
        rows.passes(1)
        if not 72 <= second < 80:
            seen += rows.follow(feed)
        if second == 60:
            rows.passes(0, step=timedelta(minutes=-10))
    for _ in range(12):
        rows.passes(1)
        seen += rows.follow(feed)
    assert sorted(seen) == list(range(len(rows.all)))


def test_a_clock_that_is_set_back_repeats_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, feed = Rows(monkeypatch), RowFeed[int](START)
    seen: list[int] = []
    for second in range(120):
        for _ in range(20):
            rows.store(0.01)
        rows.passes(1, step=-40 * SECOND if second == 60 else timedelta(0))
        seen += rows.follow(feed)
    assert sorted(seen) == list(range(len(rows.all)))


def test_a_look_goes_back_a_few_seconds_where_many_rows_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, feed = Rows(monkeypatch), RowFeed[int](START)
    spans = []
    for _ in range(60):
        for _ in range(100):
            rows.store(0.01)
        rows.passes(1)
        look = feed.look()
        spans.append(look.span)
        feed.take(rows.read(look), lambda row: (row[0], row[1]))
        assert look.span == WHOLE or len(look.known) <= 11 * 100
    assert spans[:5] == [WHOLE] * 5
    assert spans[10:].count(WHOLE) == 5
    assert spans[10:].count(QUICK) == 45


def test_a_long_look_is_shortened_unless_a_row_came_late(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, feed = Rows(monkeypatch), RowFeed[int](START)
    late = None
    for second in range(120):
        for _ in range(20):
            rows.store(0.01)
        if second == 60:
            late = rows.store(30)
        rows.passes(1)
        rows.follow(feed)
    assert late in feed.known or rows.all[late or 0][1] < rows.now - WHOLE
    assert 5 <= rows.shortened <= 9, "one every ten seconds after the first 500 rows, but one"


def test_rows_that_were_derived_at_one_instant_are_all_new() -> None:
    feed = RowFeed[datetime](START, by_row=False)
    rows = [("a", START + SECOND), ("b", START + SECOND)]
    assert feed.take(rows, lambda row: (row[1], row[1])) == rows
    assert feed.take(rows, lambda row: (row[1], row[1])) == []
