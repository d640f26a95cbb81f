"""No collection inside rounds, and one after the last of them."""

import gc
import importlib
import threading
from collections.abc import Iterator
from weakref import ref

import pytest

from monitor.probing.resources import gc_paused


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
    monkeypatch.setattr(importlib.import_module("monitor.probing.resources"), "CROWD", 0)
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
