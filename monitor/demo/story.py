"""The demo: plays the incident with the real worker, and summarises what was stored."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.command_name import command_name
from monitor.demo.live_rounds import LiveRounds
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
    TRY,
    WORKER,
    ScenarioAct,
    SlackListener,
    StoryUnfinished,
    alive,
    command,
    worker,
)
from monitor.domain import usd_text
from monitor.simulator.answer_plan import PlaybackPace
from monitor.simulator.service import SimulatedService
from monitor.simulator.service_state import ServiceState
from monitor.simulator.slack_server import SlackServer


@dataclass(frozen=True, slots=True)
class ActSummary:
    """The figures of one act. `who` counts answers by identity; None: nothing to average."""

    called: str
    probes: int
    mean_ttft_ms: float | None
    who: Counter[str]
    usd_a_query: Decimal | None


def act_summaries(
    begun: Sequence[tuple[ScenarioAct, datetime]], rows: Sequence[tuple[Any, ...]]
) -> list[ActSummary]:
    """Share the probes among the acts they were started in.

    Rows are (started_at, ttft_ms, identity, cost_usd), in any order. Probes from before the
    first act belong to it.
    """
    starts = [start for _, start in begun]
    notified = []
    for number, (act, start) in enumerate(begun):
        since = start if number else datetime.min.replace(tzinfo=start.tzinfo)
        until = starts[number + 1] if number + 1 < len(starts) else None
        of_act = [row for row in rows if since <= row[0] and (until is None or row[0] < until)]
        first_tokens = [row[1] for row in of_act if row[1] is not None]
        costs = [row[3] for row in of_act if row[3] is not None]
        notified.append(
            ActSummary(
                called=act.called,
                probes=len(of_act),
                mean_ttft_ms=mean(first_tokens) if first_tokens else None,
                who=Counter(row[2] for row in of_act),
                usd_a_query=sum(costs, Decimal(0)) / len(costs) if costs else None,
            )
        )
    return notified


# How the story is printed.


_LAST_WORDS = 15  # lines of the worker's log shown when it failed
_HOW = {"posted": "Slack", "edited": "Slack, the same message edited", "replied": "in its thread"}
_COLOURS = {"FIRING": "red", "STILL": "red", "RESOLVED": "green", "NOTICE": "yellow"}


def opening(show: Console) -> None:
    show.print(
        "A streaming RAG service, a Slack channel and a provider account are simulated; "
        "the worker, its Postgres and every message are real.\n"
    )


def act(show: Console, number: int, played: ScenarioAct) -> None:
    show.rule(f"[bold]{number}. {played.title}")
    show.print(played.tells + "\n")


def message(show: Console, event: Mapping[str, Any]) -> None:
    """A message as it is in the channel. Its text is foreign, so it contains no markup."""
    if event["event"] not in _HOW:
        return
    text = Text(unescape(event["text"]))
    colour = _COLOURS.get(event["text"].partition(" ")[0], "white")
    if event["event"] == "replied":
        show.print(Text("  ↳ in its thread: ", style="dim") + Text(text.plain.split("\n")[0]))
    else:
        show.print(Panel(text, title=_HOW[event["event"]], title_align="left", style=colour))


def summary(show: Console, notified: Sequence[ActSummary], daily_queries: int) -> None:
    """What was stored, by act."""
    table = Table(title="What the worker stored", title_justify="left")
    for heading in ("", "probes", "mean TTFT", "who answered", "USD a query"):
        table.add_column(heading)
    table.add_column(f"USD a day at {daily_queries} queries")
    for line in notified:
        usd = line.usd_a_query
        table.add_row(
            line.called,
            str(line.probes),
            "–" if line.mean_ttft_ms is None else f"{line.mean_ttft_ms:.0f} ms",
            ", ".join(f"{count} {who}" for who, count in line.who.most_common()),
            "–" if usd is None else usd_text(usd),
            "–" if usd is None else usd_text(usd * daily_queries),
        )
    show.print(table)


def page_written(show: Console, path: Path) -> None:
    show.print(Text(f"\nReport page: {path}"), soft_wrap=True)


def over(show: Console) -> None:
    """The end of a demo whose database is deleted now."""
    again = f"{command_name()} demo --keep"
    show.print(Text(f"\nThe database of the demo is deleted now. To query one: {again}"))


def kept(show: Console, psql: str, *, service: str, control: str, inbox: str) -> None:
    show.print("\nThree queries to try in the database:\n")
    for sql in TRY:
        show.print(Text(f"  {sql}"), soft_wrap=True)
    show.print("\nEverything keeps running until Ctrl-C:\n")
    show.print(Text(f"  database  {psql}"), soft_wrap=True)
    show.print(Text(f"  Slack     {inbox}"), soft_wrap=True)
    show.print(Text(f"  service   {service}/bali-zero/chat-stream?query=Hi"), soft_wrap=True)
    change = f'curl -d \'{{"situation":"key_rejected"}}\' {control}'
    show.print(Text(f"  control   {change}"), soft_wrap=True)


def missed(played: ScenarioAct, missing: Sequence[tuple[str, str]]) -> str:
    """The sentence for an act that did not come to its end."""
    after = f"within {played.within_s:.0f} s after “{played.title}”"
    if missing:
        awaited = " and ".join(f"{status} {rule}" for status, rule in missing)
        return f"The demo failed: {awaited} did not arrive {after}."
    return f"The demo failed: the worker sent fewer than {played.answers} probes {after}."


def failure(show: Console, reason: str, log: Path) -> None:
    """One sentence, and the end of the worker's output."""
    show.print(Text(reason, style="bold red"))
    reported = (
        log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    )
    show.print(Text("\n".join(reported[-_LAST_WORDS:]), style="dim"), soft_wrap=True)


# The story of `monitor demo`: the real incident, in about a minute, with the real worker.
#
# The service, the Slack channel and the provider's account are simulated and live in this process.
# The worker is the real one, as a child process, without any special mode.
#
# The service, the Slack channel and the provider's account are simulated and live in this
# process; the worker is the real one, as a child, and knows nothing of being in a play.


START_S = 60.0  # the first start of a worker creates a database
HURRIED = PlaybackPace(1.0, 0.05)  # first tokens in real time: they are judged
CAPTURE = (*MONITOR, "baseline", "capture", "--over-budget", "--count", f"{BASELINE_ANSWERS}")
Ask = Callable[[str], Sequence[tuple[Any, ...]]]
WritePage = Callable[[], Path]  # writes the report page; returns where it is


@dataclass(frozen=True, slots=True)
class StorySettings:
    """How the story is played."""

    acts: tuple[ScenarioAct, ...] = ACTS
    command: tuple[str, ...] = WORKER
    baseline: tuple[str, ...] | None = CAPTURE  # None: none was captured
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
    page: WritePage | None = None,
    staging: StorySettings = AS_WRITTEN,
) -> int:
    """Play the whole story in `home`; the exit status of the command.

    `query` reads the database in `home` while the worker lives, `psql` is the command that
    opens it by hand, `page` writes the report page at the end of the story.
    0: completed. 1: a message did not arrive; a sentence names it.
    With `keep` everything runs on until Ctrl-C or SIGTERM. Every child is ended in any case.
    """
    try:
        return asyncio.run(_play(home, keep, show, query=query, psql=psql, page=page, put=staging))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


async def _play(
    home: Path,
    keep: bool,
    show: Console,
    *,
    query: Ask,
    psql: str,
    page: WritePage | None,
    put: StorySettings,
) -> int:
    if ours := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ours.cancel)
    listener = SlackListener(lambda event: message(show, event))
    service = SimulatedService(
        pace=put.pace, play=ServiceState(candour=CANDOUR), rate_limited=False
    )
    async with service:
        with SlackServer(seen=listener.hear) as inbox:
            try:
                settings = _settings(home, service, inbox)
                opening(show)
                if put.baseline:
                    with show.status("An operator captures a baseline of each model …"):
                        await _captured(put.baseline, settings)
                async with worker(put.command, home, settings) as child:
                    begun = await _acts(
                        put, service, listener=listener, child=child, show=show, query=query
                    )
                    rows = await asyncio.to_thread(query, PROBES)
                    summary(show, act_summaries(begun, rows), DAILY_QUERIES)
                    if page is not None:
                        page_written(show, await asyncio.to_thread(page))
                    if keep:
                        kept(
                            show,
                            psql,
                            service=service.url,
                            control=service.control_url,
                            inbox=inbox.url,
                        )
                        await _until_stopped()
                    else:
                        over(show)
            except StoryUnfinished as reason:
                failure(show, str(reason), home / "worker.log")
                return 1
    return 0


async def _captured(text: Sequence[str], settings: Mapping[str, str]) -> None:
    """Capture the writing style of both models, from a service that answers at once."""
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
    query: Ask,
) -> list[tuple[ScenarioAct, datetime]]:
    """Play act after act; returns the start of each. Raises StoryUnfinished."""
    begun, live = [], LiveRounds(show, query)
    with show.status("Starting Postgres and the worker …"):
        if not await alive(child, _answered(service, 1), put.start_s):
            raise StoryUnfinished(f"The worker sent no probe within {put.start_s:.0f} s.")
    for number, one in enumerate(put.acts, 1):
        act(show, number, one)
        service.situation = one.situation
        begun.append((one, datetime.now(UTC)))
        received, requested = len(listener.told), service.play.served.total()
        over = _over(one, service, listener, received=received, requested=requested)
        with show.status("The worker probes with its canned queries …"):
            async with live.following():
                in_time = await alive(child, over, one.within_s)
        if not in_time:
            missing = listener.missing(one.awaits, since=received)
            raise StoryUnfinished(missed(one, missing))
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
    """Wait for Ctrl-C or SIGTERM: here they are the regular end."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
