"""The spool on disk: whatever is cut or damaged, the rest is there, once and in order."""

import os
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import Observation
from monitor.storage import spool_file
from monitor.storage.spool import SpoolFile
from tests.example_data import observation

ORDINARY = observation()
ODD = observation(
    answer_excerpt="two\nlines, \u2028 and \x00", error='"+ 0"\\', cost_usd=Decimal("1E-12"),
    chunk_lengths=(), evidence=(), rates={}, ttft_ms=None, http_status=None, faults=("a", "b"),
)  # fmt: skip


def numbered(number: int) -> Observation:
    return replace(ORDINARY, id=UUID(int=number))


def ids(found: Sequence[Observation]) -> list[int]:
    return [one.id.int for one in found]


def held(numbers: Sequence[int]) -> bytes:
    return b"".join(spool_file.waiting(n, numbered(n)) for n in numbers)


@pytest.mark.parametrize("one", [ORDINARY, ODD])
def test_an_observation_comes_back_as_it_was(one: Observation) -> None:
    assert spool_file.parse(spool_file.waiting(0, one)).waiting == [one]


def test_a_file_of_an_older_version_lacks_what_it_did_not_know() -> None:
    written = spool_file.waiting(0, ORDINARY)
    payload = written[38:].replace(b'"cache_write_tokens": null, ', b"")
    assert len(payload) < len(written) - 38
    old = replace(ORDINARY, cache_write_tokens=None)
    assert spool_file.parse(spool_file._record(b"+", 0, payload)).waiting == [old]


def test_what_is_done_does_not_wait_and_a_repeated_number_counts_once() -> None:
    data = held([0, 1, 2, 1, 2, 3]) + spool_file.done(1)
    assert ids(spool_file.parse(data).waiting) == [2, 3]


@given(st.data())
def test_cut_anywhere_all_whole_records_are_there(data: st.DataObject) -> None:
    whole = held(range(4))
    ends = [len(held(range(n + 1))) for n in range(4)]
    cut = data.draw(st.integers(0, len(whole)))
    found = spool_file.parse(whole[:cut])
    assert ids(found.waiting) == [n for n, end in enumerate(ends) if end <= cut]
    assert (found.torn, found.damaged) == (cut not in (0, *ends), 0)


@given(st.data())
def test_a_damaged_byte_costs_one_observation_at_most_and_is_noticed(data: st.DataObject) -> None:
    whole = held(range(5)) + spool_file.done(0)
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    found = spool_file.parse(whole[:place] + bytes([byte]) + whole[place + 1 :])
    kept = ids(found.waiting)
    assert found.damaged or found.torn
    assert kept == sorted(set(kept))
    in_done = place >= len(held(range(5)))  # then 0 is stored again, which is harmless
    assert len({1, 2, 3, 4} - set(kept)) <= (0 if in_done else 1)


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_read_without_an_error(junk: bytes) -> None:
    found = spool_file.parse(junk + held([7]))
    assert ids(found.waiting) == [7]


def test_files_are_for_their_owner_alone_and_go_when_nothing_waits(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "spool"
    file = SpoolFile(folder)
    file.write([(0, ORDINARY)], done=-1, sync=True)
    [path] = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    file.write([], done=0)
    assert path.stat().st_size == 0
    file.close()
    assert list(folder.iterdir()) == []


def test_the_file_of_a_living_process_is_its_own(tmp_path: Path) -> None:
    file, other = SpoolFile(tmp_path), SpoolFile(tmp_path)
    file.write([(0, ORDINARY)], done=-1)
    [path] = other.others()
    assert other.take(path) is None
    file.close()
    taken = other.take(path)
    assert taken is not None
    assert taken.contents.waiting == [ORDINARY]
    os.close(taken.held[1])


def test_a_queue_that_is_never_empty_does_not_grow_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    file, sizes = SpoolFile(tmp_path), []
    for number in range(3_000):
        first = max(0, number - 2)
        new = [(n, ORDINARY) for n in range(first, number + 1) if n > file.newest]
        file.write(new, done=first - 1)
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert max(sizes) < 1.2 * (1 << 20)
    assert 3_000 * len(spool_file.waiting(0, ORDINARY)) > 3 * (1 << 20)


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, link])
def test_what_is_no_regular_file_is_left_alone(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "1-odd.spool"
    make(path)
    taken: list[object] = []
    thread = Thread(target=lambda: taken.append(SpoolFile(tmp_path).take(path)), daemon=True)
    thread.start()
    thread.join(60)
    assert taken == [None], "a named pipe would keep the thread for ever"


def test_of_a_huge_file_the_start_is_read_whatever_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_file, "_LARGEST", 8 << 20)
    path = tmp_path / "1-a.spool"
    path.write_bytes(held([0]) + b"\n" * 5_000_000 + held([1]))
    os.truncate(path, 1 << 30)  # without using space
    taken = SpoolFile(tmp_path).take(path)
    assert taken is not None
    assert ids(taken.contents.waiting) == [0, 1]
    assert taken.contents.damaged
    spool_file.leave(taken.held, delete=True)
