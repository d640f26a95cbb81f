"""When what is no target is judged: the spend of all, keys, channels."""

from time import monotonic

import pytest

from monitor.worker import window_memory
from monitor.worker.window_memory import WindowMemory


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [monotonic()]
    monkeypatch.setattr(window_memory.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("targets", "seconds"), [(1, []), (200, []), (400, [1]), (1_000, [1, 2, 3, 4]), (5_000, [1, 4])]
)
def test_it_is_judged_less_often_with_many_targets(
    clock: list[float], targets: int, seconds: list[int]
) -> None:
    memory, began = WindowMemory(), clock[0]
    assert memory.overall_due(targets)
    for after in range(1, 5):
        clock[0] = began + after
        if after in seconds:
            assert not memory.overall_due(targets)
        elif targets <= 200:
            assert memory.overall_due(targets)
    clock[0] = began + 10
    assert memory.overall_due(targets)


def test_it_is_judged_at_once_after_an_account_was_read(clock: list[float]) -> None:
    memory = WindowMemory()
    assert memory.overall_due(1_000)
    assert not memory.overall_due(1_000)
    memory.ask()
    assert memory.overall_due(1_000)
