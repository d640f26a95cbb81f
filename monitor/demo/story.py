"""The story `monitor demo` plays: the real incident, in about a minute, with the real worker.

The service, the Slack channel and the provider's account are simulated and live in this
process; the worker is the real one, as a child, and knows nothing of being in a play.
"""

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from monitor.demo import narration
from monitor.demo.narration import act_summaries
from monitor.demo.scenario import (
    ACTS,
    BASELINE,
    BASELINE_ANSWERS,
    CANDOUR,
    CONFIGURATION,
    DAILY_QUERIES,
    MONITOR,
    PROBES,
    TARGET,
    WORKER,
    ScenarioAct,
    SlackListener,
    StoryUnfinished,
    alive,
    command,
    worker,
)
from monitor.simulator.answer_plan import PlaybackPace
from monitor.simulator.service import SimulatedService
from monitor.simulator.service_state import ServiceState
from monitor.simulator.slack_server import SlackServer

START_S = 60.0  # the first start of a worker makes a database
HURRIED = PlaybackPace(1.0, 0.05)  # first tokens in real time: they are what is judged
CAPTURE = (*MONITOR, "baseline", "capture", "--over-budget", "--count", f"{BASELINE_ANSWERS}")
Ask = Callable[[str], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class StorySettings:
    """How the story is put on."""

    acts: tuple[ScenarioAct, ...] = ACTS
    command: tuple[str, ...] = WORKER
    baseline: tuple[str, ...] | None = CAPTURE  # None: nobody captured one
    pace: PlaybackPace = HURRIED
    start_s: float = START_S


AS_WRITTEN = StorySettings()


def play(
    home: Path,
    *,
    keep: bool,
    show: Console,
    query: Ask,
    psql: str,
    staging: StorySettings = AS_WRITTEN,
) -> int:
    """Play the whole story in `home`; the exit status of the command.

    `query` reads the database in `home` while the worker lives, `psql` is the command that
    opens it by hand. 0: told to the end. 1: a message did not come, and a sentence said so.
    With `keep` everything runs on until Ctrl-C or SIGTERM. Every child is ended in any case.
    """
    try:
        return asyncio.run(_play(home, keep=keep, show=show, query=query, psql=psql, put=staging))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


async def _play(
    home: Path, *, keep: bool, show: Console, query: Ask, psql: str, put: StorySettings
) -> int:
    if ours := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ours.cancel)
    listener = SlackListener(lambda event: narration.message(show, event))
    service = SimulatedService(
        pace=put.pace, play=ServiceState(candour=CANDOUR), rate_limited=False
    )
    async with service:
        with SlackServer(seen=listener.hear) as inbox:
            try:
                settings = _settings(home, service, inbox)
                narration.opening(show)
                if put.baseline:
                    with show.status(
                        "An operator has each model answer, and says which is which …"
                    ):
                        await _captured(put.baseline, settings)
                async with worker(put.command, home, settings) as child:
                    begun = await _acts(put, service, listener=listener, child=child, show=show)
                    rows = await asyncio.to_thread(query, PROBES)
                    narration.summary(show, act_summaries(begun, rows), DAILY_QUERIES)
                    if keep:
                        narration.kept(show, psql, service=service.url, control=service.control_url)
                        await _until_stopped()
            except StoryUnfinished as reason:
                narration.failure(show, str(reason), home / "worker.log")
                return 1
    return 0


async def _captured(text: Sequence[str], settings: Mapping[str, str]) -> None:
    """Capture how both models write, from a service that answers at once."""
    async with SimulatedService(
        pace=PlaybackPace(0.0, 0.0), play=ServiceState(candour=CANDOUR), rate_limited=False
    ) as two:
        there = {**settings, f"MONITOR_TARGETS__{TARGET.upper()}__URL": two.url}
        for situation, model in BASELINE:
            two.situation = situation
            await command((*text, "--model", model), there)


def _settings(home: Path, service: SimulatedService, inbox: SlackServer) -> dict[str, str]:
    """Write the worker's configuration; the environment that leads it there."""
    home.mkdir(parents=True, exist_ok=True)
    configuration = home / "monitor.toml"
    configuration.write_text(CONFIGURATION.format(url=service.url), encoding="utf-8")
    return {
        "MONITOR_HOME": str(home),
        "MONITOR_CONFIG": str(configuration),
        "SLACK_BOT_TOKEN": inbox.token,
        "SLACK_CHANNEL": "#alerts",
        "SLACK_API_BASE_URL": inbox.api_url,
        "OPENROUTER_API_KEY": "sk-or-demo",
        "OPENROUTER_BASE_URL": service.openrouter_url,
    }


async def _acts(
    put: StorySettings,
    service: SimulatedService,
    *,
    listener: SlackListener,
    child: Process,
    show: Console,
) -> list[tuple[ScenarioAct, datetime]]:
    """Play act after act; each with the time it began. Raises Unfinished."""
    begun = []
    with show.status("Starting Postgres and the worker …"):
        if not await alive(child, _answered(service, 1), put.start_s):
            raise StoryUnfinished(f"The worker asked nothing within {put.start_s:.0f} s.")
    for number, act in enumerate(put.acts, 1):
        narration.act(show, number, act)
        service.situation = act.situation
        begun.append((act, datetime.now(UTC)))
        received, requested = len(listener.told), service.play.served.total()
        over = _over(act, service, listener, received=received, requested=requested)
        with show.status("The worker asks its canned queries, again and again …"):
            in_time = await alive(child, over, act.within_s)
        if not in_time:
            missing = listener.missing(act.awaits, since=received)
            raise StoryUnfinished(narration.missed(act, missing))
    return begun


async def _over(
    act: ScenarioAct,
    service: SimulatedService,
    listener: SlackListener,
    *,
    received: int,
    requested: int,
) -> None:
    await listener.until(act.awaits, since=received)
    await _answered(service, requested + act.answers)


async def _answered(service: SimulatedService, answers: int) -> None:
    while service.play.served.total() < answers:  # noqa: ASYNC110  counts send no events
        await asyncio.sleep(0.1)


async def _until_stopped() -> None:
    """Wait for Ctrl-C or SIGTERM: here they are the proper end."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
