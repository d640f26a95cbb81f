"""When what is no target is judged: the spend of all, keys, channels."""

from datetime import UTC, datetime
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


@pytest.mark.parametrize(("targets", "most"), [(3, 3), (500, 500), (501, 51), (5_000, 500)])
def test_each_target_is_looked_at_within_ten_evaluations(targets: int, most: int) -> None:
    """No window is here, so that each target that is looked at is due."""
    memory, names = WindowMemory(), [f"t{number}" for number in range(targets)]
    memory.changed = {"t0"}
    looks = [memory.due(names, (), datetime.now(UTC)) for _ in range(10)]
    assert all(look[0] == "t0" and len(look) <= most + 1 for look in looks)
    assert {name for look in looks for name in look} == set(names)
