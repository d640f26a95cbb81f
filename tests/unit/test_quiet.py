"""No collection inside rounds, and one after the last of them."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from weakref import ref

import pytest

from monitor.probing import garbage_collection as collection
from monitor.probing.garbage_collection import gc_paused


class Knot:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


def litter() -> "ref[Knot]":
    return ref(Knot())


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    assert gc.isenabled()
    yield
    assert gc.isenabled()


def test_garbage_waits_for_the_end_of_the_round() -> None:
    with gc_paused():
        assert not gc.isenabled()
        garbage = litter()
        assert garbage() is not None
    assert garbage() is None


def test_rounds_inside_rounds_collect_nothing() -> None:
    with gc_paused():
        with gc_paused():
            garbage = litter()
        assert not gc.isenabled()
        assert garbage() is not None
    assert garbage() is None


def test_of_overlapping_rounds_the_last_one_collects() -> None:
    first, second = gc_paused(), gc_paused()
    first.__enter__()
    second.__enter__()
    garbage = litter()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    assert garbage() is not None
    second.__exit__(None, None, None)
    assert garbage() is None


def test_a_round_that_fails_is_over_too() -> None:
    with pytest.raises(ZeroDivisionError), gc_paused():
        _ = 1 / 0


def test_rounds_in_threads_do_not_lose_count() -> None:
    def rounds() -> None:
        for _ in range(20):
            with gc_paused():
                pass

    with gc_paused():
        threads = [threading.Thread(target=rounds) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not gc.isenabled()


def test_rounds_that_never_all_end_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "CROWD", 0)
    with gc_paused():
        garbage = litter()
        with gc_paused():
            pass
        assert garbage() is None


def test_who_does_not_collect_at_all_is_left_alone() -> None:
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


async def test_rounds_that_overlap_without_end_leave_no_old_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Garbage that outlived two collections: only a full one finds it."""
    monkeypatch.setattr(collection, "FULL_EVERY_S", 0.0)
    found: list[ref[Knot]] = []
    with ExitStack() as last:
        for _ in range(30):
            begun = gc_paused()
            begun.__enter__()
            last.close()  # the round before ends after this one began
            last.push(begun)
            old = [Knot() for _ in range(10)]
            gc.collect(0)
            gc.collect(1)
            found += map(ref, old)
            del old
            await collection.collection_gap()
            assert sum(knot() is not None for knot in found) == 0


async def test_a_full_collection_waits_for_the_first_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "FULL_EVERY_S", 0.0)
    monkeypatch.setattr(collection, "HOLD_S", 60.0)
    awaited = SimpleNamespace(spoken=False)
    with gc_paused(), collection.first_text_awaited(awaited):
        garbage = litter()
        gap = asyncio.create_task(collection.collection_gap())
        for _ in range(20):
            await asyncio.sleep(0)
        assert garbage() is not None
        assert not gap.done()
        awaited.spoken = True
        await gap
        assert garbage() is None


async def test_services_that_are_slow_to_speak_hold_probes_up_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collection, "HOLD_S", 0.0)
    awaited = SimpleNamespace(spoken=False)
    with gc_paused(), collection.first_text_awaited(awaited):
        garbage = litter()
        monkeypatch.setattr(collection, "_full_s", -1e9)
        monkeypatch.setattr(collection, "LATEST_S", 1e18)
        await collection.collection_gap()
        assert garbage() is not None, "the next try is in ten minutes"
        monkeypatch.setattr(collection, "_again_s", 0.0)
        monkeypatch.setattr(collection, "LATEST_S", 3600.0)
        await collection.collection_gap()
        assert garbage() is None, "an hour later it waits for nobody"
