"""What a running worker does with work of a target that a new configuration changed or removed."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.domain import NoticeStatus, Query, Sent, Target
from monitor.storage import DatabaseUnavailable
from monitor.storage.leases import RoundEnd
from monitor.worker import (
    burst,
    delivery_job,
    evaluation,
    heartbeat,
    outage,
    probe_round,
    reload,
    scheduler,
)
from monitor.worker.admission import AdmittedRound
from monitor.worker.context import WorkerContext, WorkerState
from monitor.worker.scheduler import Worker
from tests.unit.notices import OPENED

RAG = Target(name="rag", url="http://old", dialect="bali_zero", every=timedelta(hours=1),
             queries=(Query(id="hi", text="Hi"),))  # fmt: skip
MOVED = replace(RAG, url="http://new")


def context(*targets: Target, **channels: Any) -> Any:
    settings = SimpleNamespace(
        targets={target.name: target for target in targets}, health={}, config_hash="x", rules={}
    )
    return SimpleNamespace(
        settings=settings, channels=channels, state=WorkerState(), database=None, worker="w1",
        now=WorkerContext.now,
    )  # fmt: skip


async def worker(monkeypatch: pytest.MonkeyPatch, before: Any, after: Any) -> Worker:
    """A worker whose next reload replaces one context with the other."""

    async def reread(_: Any) -> Any:
        return after.settings

    monkeypatch.setattr(reload, "reread", reread)
    monkeypatch.setattr(reload, "changes", lambda *_: [])
    monkeypatch.setattr(reload, "applied", lambda *_: after)
    made = Worker(before)
    for name in ("_arm_others", "_begin_configured"):
        monkeypatch.setattr(made, name, lambda *_, **__: None)
    return made


@pytest.mark.parametrize(("after", "goes_on"), [((), False), ((MOVED,), False), ((RAG,), True)])
async def test_a_reload_ends_the_burst_of_a_target_that_changed(
    monkeypatch: pytest.MonkeyPatch, after: tuple[Target, ...], goes_on: bool
) -> None:
    async def endless(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(burst, "burst", endless)
    one = await worker(monkeypatch, context(RAG), context(*after))
    one._look_closer(RAG, ())
    running = one._bursts["rag"]
    await asyncio.sleep(0)
    await one._reload()
    await asyncio.wait([running], timeout=0 if goes_on else 60)
    assert running.cancelled() is not goes_on
    one._look_closer(RAG, ())  # its round ends after the reload
    assert ("rag" in one._bursts) is goes_on
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(
    ("after", "probed", "missed"),
    [((), [], "its target was removed from the configuration"), ((MOVED,), ["http://new"], None)],
)
async def test_a_claimed_round_that_waits_uses_the_new_settings(
    monkeypatch: pytest.MonkeyPatch, after: tuple[Target, ...], probed: list[str],
    missed: str | None,
) -> None:  # fmt: skip
    urls, ended = list[str](), list[RoundEnd]()

    async def probe_admitted(_: Any, admitted: AdmittedRound, **__: Any) -> tuple[()]:
        urls.append(admitted.target.url)
        return ()

    async def keep(_: Any, __: Any, *, ends: Sequence[RoundEnd]) -> None:
        ended.extend(ends)

    async def beat(*_: Any, **__: Any) -> None:
        pass

    monkeypatch.setattr(probe_round, "probe_admitted", probe_admitted)
    monkeypatch.setattr(outage, "keep", keep)
    monkeypatch.setattr(heartbeat, "beat", beat)
    one = await worker(monkeypatch, context(RAG), context(*after))
    one.rounds._wait(AdmittedRound(RAG, datetime.now(UTC), RAG.queries), timedelta(hours=1))
    await one._reload()
    one.rounds.stop()
    await asyncio.gather(*one.rounds.running.values())
    assert urls == probed
    assert [end.missed for end in ended] == ([missed] if missed else [])


@pytest.mark.parametrize(("after", "judged"), [((), []), ((MOVED,), [MOVED])])
async def test_a_round_that_ends_after_a_reload_opens_no_incident_of_its_old_target(
    monkeypatch: pytest.MonkeyPatch, after: tuple[Target, ...], judged: list[Target]
) -> None:
    assert evaluation.current_targets(context(*after), [RAG]) == judged
    assert evaluation.current_targets(context(*after), []) == list(after)


async def test_a_reload_does_not_interrupt_a_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    began, drawn, posted = asyncio.Event(), asyncio.Event(), asyncio.Event()
    used: list[Any] = []

    async def post_chart(context: Any, *_: Any) -> Sent:
        used.append(context)
        began.set()
        await drawn.wait()
        if len(used) == 2:
            posted.set()
        return Sent()

    monkeypatch.setattr(delivery_job, "post_chart", post_chart)
    notifier = SimpleNamespace(attaches=True, reacts=False)
    channel: Any = SimpleNamespace(name="slack", notifier=notifier)
    before, after = context(RAG, slack=channel), context(MOVED, slack=channel)
    after.state = before.state
    one = await worker(monkeypatch, before, after)
    notice = OPENED["ttft"]
    assert notice.status is NoticeStatus.FIRING
    task = asyncio.create_task(delivery_job.attach(lambda: one.context, channel))
    for _ in range(2):
        before.state.charts["slack"].put_nowait((notice, "1.2"))
    async with asyncio.timeout(60):
        await began.wait()
        await one._reload()
        drawn.set()
        await posted.wait()
    task.cancel()
    await asyncio.wait([task])
    assert used == [before, after]


async def test_a_poll_that_fails_leaves_no_other_behind() -> None:
    slow, ended = asyncio.Event(), []

    class Polling:
        def __init__(self, work: Callable[[], Any]) -> None:
            self.poll = work

    async def fails() -> bool:
        asyncio.get_running_loop().call_later(0.01, slow.set)
        raise DatabaseUnavailable("away")

    async def succeeds() -> bool:
        await slow.wait()
        ended.append(True)
        return True

    notifier = SimpleNamespace(reacts=False)
    one = Worker(context(RAG, slack=SimpleNamespace(name="slack", notifier=notifier)))
    one._reactions = [Polling(fails), Polling(succeeds)]  # type: ignore[list-item]
    with pytest.raises(DatabaseUnavailable):
        await one._answers()
    assert ended == [True]
    assert one.news["slack"].is_set(), "what the other channel found is sent"


@pytest.mark.parametrize("stdin", [None, "closed"])
async def test_a_worker_without_standard_input_reloads_after_a_hangup(
    monkeypatch: pytest.MonkeyPatch, stdin: str | None, tmp_path: Any
) -> None:
    given = stdin and (tmp_path / "in").open("w")
    if given:
        given.close()
    monkeypatch.setattr(sys, "stdin", given)
    assert scheduler._at_terminal() is False
    one = Worker(context(RAG))
    one._hung_up(False)
    assert one._hangup.is_set()
    one._hung_up(True)
    assert one.context.state.leaving.is_set()
