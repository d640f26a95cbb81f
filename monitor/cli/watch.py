"""`monitor watch`: targets, last rounds, open incidents and today's spend in the terminal."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from monitor.cli.baseline import in_database
from monitor.cli.startup import configuration
from monitor.config import Settings
from monitor.domain import lasting
from monitor.domain.report import LastProbe, LastRound, StatusSnapshot
from monitor.identity.model_names.common_name import common_name
from monitor.redaction import plain
from monitor.reports.axes import clock, ms, usd
from monitor.reports.verdict import spend_today, state_sentences
from monitor.storage import Database, DatabaseUnavailable
from monitor.worker.status_pages import snapshot

EVERY_S = 5.0
PIPE_WIDTH = 200
LATE = "The database is unavailable: this is an earlier state."
# Columns that a narrow terminal omits, in this order: words are never cut.
LEFT_OUT = ("cost", "who answered", "last round")
LEAST_WIDTH = {"cost": 100, "who answered": 80, "last round": 60}


def watch(*, once: bool) -> None:
    """Show the state repeatedly until interrupted; once if standard output is no terminal."""
    settings = configuration(without_secrets=True)
    terminal = Console(highlight=False)
    # a file or a pipe has no width limit
    wide = not terminal.is_terminal and "COLUMNS" not in os.environ
    console = Console(highlight=False, width=PIPE_WIDTH if wide else None)
    live = console.is_terminal and not once

    async def show(database: Database) -> None:
        found = await snapshot(database, settings, datetime.now(UTC))
        if not live:
            console.print(state(found, console.width))
            return
        with Live(state(found, console.width), console=console, auto_refresh=False) as screen:
            while True:
                await asyncio.sleep(EVERY_S)
                found = await _again(database, settings, found)
                screen.update(state(found, console.width), refresh=True)

    with suppress(KeyboardInterrupt):
        in_database(settings, show)


async def _again(database: Database, settings: Settings, last: StatusSnapshot) -> StatusSnapshot:
    try:
        return await snapshot(database, settings, datetime.now(UTC))
    except DatabaseUnavailable:
        return replace(last, trouble=LATE)


def state(found: StatusSnapshot, width: int) -> RenderableType:
    """The whole display; texts of services are harmless, and nothing is markup."""
    return Group(*_parts(found, width))


def _parts(found: StatusSnapshot, width: int) -> Iterator[RenderableType]:
    if found.trouble:
        yield Text(found.trouble, style="bold red")
    for sentence in state_sentences(found.rounds, found.incidents, now=found.made_at):
        yield Text(plain(sentence.text, 400), style=sentence.style)
    for note in found.notes:
        yield Text(plain(note, 400), style="bold red")
    yield _rounds(found, width)
    if found.incidents:
        yield _incidents(found)
    yield Text(f"spent today: {spend_today(found)}")
    yield Text(f"as of {clock(found.made_at, found.zone)} {found.zone.key}", style="dim")


def _rounds(found: StatusSnapshot, width: int) -> Table:
    names = ("target", "last round", "TTFT by query", "who answered", "cost")
    kept = [name for name in names if width >= LEAST_WIDTH.get(name, 0)]
    table = Table(box=None, pad_edge=False)
    for name in kept:
        table.add_column(name, justify="right" if name == "cost" else "left", overflow="fold")
    for item in found.rounds:
        late = item.overdue(found.made_at)
        age = f"{lasting(found.made_at - item.at)} ago" if item.at else "not probed yet"
        costs = [probe.cost_usd for probe in item.probes if probe.cost_usd is not None]
        cells = {
            "target": Text(item.target),
            "last round": Text(age, style="red" if late else ""),
            "TTFT by query": _times(item),
            "who answered": _answerers(item),
            "cost": Text(usd(sum(costs)) if costs else "–"),
        }
        table.add_row(*(cells[name] for name in kept))
    return table


def _times(item: LastRound) -> Text:
    """Each query with its TTFT, or how it failed, and the check that its answer failed."""
    parts = []
    for probe in item.probes:
        query = plain(probe.query, 64)
        if probe.good is False:
            parts.append(Text(f"{query} ✗ {probe.outcome}", style="red"))
        else:
            parts.append(Text(f"{query} {ms(probe.ttft_ms)}"))
            if probe.check_failed:
                parts[-1].append(f" ✗ {plain(probe.check_failed, 60)}", style="red")
    return Text(" · ").join(parts)


def _answerers(item: LastRound) -> Text:
    shown = dict.fromkeys(_answerer(probe) for probe in item.probes if probe.good)
    alarming = any(probe.identity in ("fallback", "changed") for probe in item.probes)
    return Text(", ".join(shown), style="red" if alarming else "")


def _answerer(probe: LastProbe) -> str:
    if probe.model is None:
        return probe.identity
    name = plain(common_name(probe.model), 60)
    return name if probe.identity == "expected" else f"{name} ({probe.identity})"


def _incidents(found: StatusSnapshot) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("open", "rule", "target", "since", "because"):
        table.add_column(name, overflow="fold")
    for item in found.incidents:
        cells = (
            f"#{item.number}",
            item.rule,
            item.scope,
            f"{clock(item.since, found.zone)} ({lasting(found.made_at - item.since)})",
            plain(item.sentence, 300),
        )
        table.add_row(*map(Text, cells))
    return table
