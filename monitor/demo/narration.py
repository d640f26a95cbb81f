"""What the stored probes say about each act of the story."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.demo.scenario import TRY, ScenarioAct
from monitor.domain import usd_text


@dataclass(frozen=True, slots=True)
class ActSummary:
    """One act in figures. `who` counts answers by identity; None: nothing to average."""

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


# How the story looks in a terminal.


_LAST_WORDS = 15  # lines of the worker's log shown when it failed
_HOW = {"posted": "Slack", "edited": "Slack, the same message edited", "replied": "in its thread"}
_COLOURS = {"FIRING": "red", "STILL": "red", "RESOLVED": "green", "NOTICE": "yellow"}


def opening(show: Console) -> None:
    show.print(
        "A streaming RAG service, a Slack channel and a provider's account, all simulated; "
        "the worker, its Postgres and every message are real.\n"
    )


def act(show: Console, number: int, played: ScenarioAct) -> None:
    show.rule(f"[bold]{number}. {played.title}")
    show.print(played.tells + "\n")


def message(show: Console, event: Mapping[str, Any]) -> None:
    """A message as it stands in the channel. Its words are foreign: nothing in them is markup."""
    if event["event"] not in _HOW:
        return
    text = Text(unescape(event["text"]))
    colour = _COLOURS.get(event["text"].partition(" ")[0], "white")
    if event["event"] == "replied":
        show.print(Text("  ↳ in its thread: ", style="dim") + Text(text.plain.split("\n")[0]))
    else:
        show.print(Panel(text, title=_HOW[event["event"]], title_align="left", style=colour))


def summary(show: Console, notified: Sequence[ActSummary], daily_queries: int) -> None:
    """What was stored, by act, and where to look further."""
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
    show.print("\nThree questions to ask the database:\n")
    for sql in TRY:
        show.print(Text(f"  {sql}"), soft_wrap=True)


def kept(show: Console, psql: str, *, service: str, control: str) -> None:
    show.print("\nEverything is still running, until Ctrl-C:\n")
    show.print(Text(f"  database  {psql}"), soft_wrap=True)
    show.print(Text(f"  service   {service}/bali-zero/chat-stream?query=Hi"), soft_wrap=True)
    change = f'curl -d \'{{"situation":"key_rejected"}}\' {control}'
    show.print(Text(f"  change it {change}"), soft_wrap=True)


def missed(played: ScenarioAct, missing: Sequence[tuple[str, str]]) -> str:
    """The sentence for an act that did not come to its end."""
    after = f"within {played.within_s:.0f} s after “{played.title}”"
    if missing:
        awaited = " and ".join(f"{status} {rule}" for status, rule in missing)
        return f"The story breaks off: {awaited} should have come {after}."
    return f"The story breaks off: the worker asked fewer than {played.answers} questions {after}."


def failure(show: Console, reason: str, log: Path) -> None:
    """One sentence, and the last the worker said."""
    show.print(Text(reason, style="bold red"))
    reported = (
        log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    )
    show.print(Text("\n".join(reported[-_LAST_WORDS:]), style="dim"), soft_wrap=True)
