"""The spool: bounded in count and bytes, oldest lost first, whoever empties it."""

from monitor.storage.spool import Spool
from tests.example_data import observation


def test_the_oldest_are_lost_to_the_bound_and_counted() -> None:
    spool, rows = Spool(most=2), [observation() for _ in range(3)]
    spool.keep(rows)
    assert (spool.oldest(9), spool.dropped) == (rows[1:], 1)


def test_long_answers_fill_it_sooner() -> None:
    long = [observation(chunk_lengths=(4,) * 1_000) for _ in range(3)]  # 11 kB each
    spool = Spool(most_bytes=30_000)
    spool.keep(long)
    assert (len(spool), spool.dropped) == (2, 1)


def test_what_was_dropped_while_it_was_stored_is_not_let_go_twice() -> None:
    spool, rows = Spool(most=2), [observation() for _ in range(3)]
    spool.keep(rows[:2])
    taken = spool.oldest(2)
    spool.keep(rows[2:])  # the first one is lost meanwhile
    spool.forget(taken)
    assert spool.oldest(9) == rows[2:]
    spool.forget(rows)
    assert len(spool) == 0
