"""A worker context on a real database and real network, with a usual configuration."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from monitor import identity
from monitor.config import Settings, load
from monitor.metrics import Metrics
from monitor.notifications import Channel, ConsoleNotifier, Notifier
from monitor.pricing.book import price_book
from monitor.probing.client import ProbeClient
from monitor.storage import Database
from monitor.worker import delivery_job
from monitor.worker.context import WorkerContext

CONFIGURATION = """
[targets.rag]
url = "{url}"
dialect = "bali_zero"
every = "10m"
expected_models = ["meta-llama/llama-4-scout"]
fallback_models = ["anthropic/claude-haiku-4-5"]
[targets.rag.headers]
X-Api-Key = "${{SERVICE_KEY}}"
[[targets.rag.queries]]
id = "hi"
text = "Hi"
[[targets.rag.queries]]
id = "kbli"
text = "KBLI?"
"""


def settings(home: Path, url: str = "http://127.0.0.1:1", **environ: str) -> Settings:
    """The whole configuration, read as a worker reads it."""
    path = home / "monitor.toml"
    path.write_text(CONFIGURATION.format(url=url))
    return load({"MONITOR_CONFIG": str(path), "SERVICE_KEY": "canary-key-4711", **environ})


@asynccontextmanager
async def open_context(
    configured: Settings, database: Database, notifier: Notifier | None = None, *more: Channel
) -> AsyncIterator[WorkerContext]:
    """A watch with one channel, `slack` or the console, and `more`."""
    first = Channel(name="slack" if notifier else "console", notifier=notifier or ConsoleNotifier())
    async with ProbeClient("0.0.0") as wire:
        yield WorkerContext(
            settings=configured, database=database, client=wire,
            book=price_book(configured.file.prices, same=identity.same),
            channels={channel.name: channel for channel in (first, *more)},
            region="local", worker="w1",
            metrics=Metrics(configured.targets.values()),
        )  # fmt: skip


def only_channel(context: WorkerContext) -> Channel:
    """The one channel of a watch."""
    [channel] = context.channels.values()
    return channel


async def deliver(context: WorkerContext) -> int:
    """Send everything due in every channel, side by side, as a worker does."""
    sent = (delivery_job.deliver(context, channel) for channel in context.channels.values())
    return sum(await asyncio.gather(*sent))
