"""The demo's live numbers: one line for each round, as the worker stores it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from monitor.domain import usd_text
from monitor.identity.model_names.common_name import common_name

ROUNDS = (
    "SELECT slot, query, ttft_ms, model_detected, identity, cost_usd, cost_high_usd "
    "FROM report.observations WHERE origin <> 'manual' ORDER BY slot, started_at"
)
QUERIES = 3  # of a whole round
_EVERY_S = 0.5
_COLOURS = {"expected": "green", "fallback": "red"}


class LiveProbe(NamedTuple):
    """A row of `ROUNDS`."""

    slot: datetime
    query: str
    ttft_ms: float | None
    model: str | None
    identity: str
    usd: Decimal | None
    high_usd: Decimal | None


class LiveRounds:
    """Prints each round once, over all acts of the story."""

    def __init__(self, show: Console, query: Callable[[str], Sequence[tuple[object, ...]]]) -> None:
        self._show, self._query = show, query
        self._told: set[datetime] = set()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Print every round while the body runs. Failures are ignored: it only displays."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _follow(self) -> None:
        while True:
            rows = await asyncio.to_thread(self._query, ROUNDS)
            for slot, probes in finished(rows).items():
                if slot not in self._told:
                    self._told.add(slot)
                    self._show.print(round_line(probes), soft_wrap=True)
            await asyncio.sleep(_EVERY_S)


def finished(rows: Sequence[tuple[object, ...]]) -> Mapping[datetime, list[LiveProbe]]:
    """The probes of each finished round: it is complete, or a later one has begun."""
    rounds: dict[datetime, list[LiveProbe]] = {}
    for row in rows:
        probe = LiveProbe(*row)  # type: ignore[arg-type]
        rounds.setdefault(probe.slot, []).append(probe)
    newest = max(rounds, default=None)
    return {
        slot: probes for slot, probes in rounds.items() if slot != newest or len(probes) >= QUERIES
    }


def round_line(probes: Sequence[LiveProbe]) -> Text:
    """`14:02:05  hi 0.52 s  kbli 1.31 s  who 1.02 s  $0.00061  Llama 4 Scout`."""
    line = Text(f"  {probes[0].slot:%H:%M:%S}", style="dim")
    for probe in probes:
        took = "–" if probe.ttft_ms is None else f"{probe.ttft_ms / 1000:.2f} s"
        line.append(f"  {probe.query} {took}", style="not dim")
    line.append(f"  {_cost(probes)}  ", style="not dim")
    names: dict[str, str] = {}
    for probe in probes:
        known = probe.identity in _COLOURS and probe.model
        name = common_name(probe.model) if known and probe.model else "not identified"
        names[name] = _COLOURS.get(probe.identity, "yellow")
    for place, (name, colour) in enumerate(names.items()):
        line.append((", " if place else "") + name, style=f"not dim {colour}")
    return line


def _cost(probes: Sequence[LiveProbe]) -> str:
    """The cost of the round, at the upper end if a model is unknown."""
    high = [probe.usd if probe.usd is not None else probe.high_usd for probe in probes]
    known = sum((usd for usd in high if usd is not None), Decimal(0))
    exact = all(probe.usd is not None for probe in probes)
    return f"{'' if exact else '≤ '}{usd_text(known)}"
