"""Ids of probes: unique, of version 7, and in order of time."""

import time
from uuid import RFC_4122

import pytest

from monitor.probing.probe_ids import new_probe_id


def test_ids_are_unique_and_of_version_7() -> None:
    ids = [new_probe_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}


def test_later_ids_are_greater(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for ms in (0, 1, 1_796_000_000_000, 1_796_000_000_001, 2**48 - 1):
        monkeypatch.setattr(time, "time_ns", lambda ms=ms: ms * 1_000_000 + 999_999)
        ids.append(new_probe_id())
        assert ids[-1].int >> 80 == ms
    assert ids == sorted(ids)


def test_a_clock_beyond_all_bounds_still_gives_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    for ns in (-1, -(10**30), 10**30):
        monkeypatch.setattr(time, "time_ns", lambda ns=ns: ns)
        assert new_probe_id().version == 7
