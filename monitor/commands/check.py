"""`monitor check`: everything that can be known before the first paid probe.

Configuration, database, schema, targets, prices, Slack and provider accounts, each with one
line; what probing will cost on every model that may answer. Exit 1 with every fault listed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor import identity, pricing
from monitor.commands.opening import FAILED, configuration, database_url, named, unreachable
from monitor.commands.run import told_by
from monitor.domain import Target, Unpriced
from monitor.embedded import EmbeddedFault
from monitor.pricing import Amount, Book, Projection
from monitor.settings import Settings
from monitor.store import REVISION, Away, Database, SchemaUnknown, schema
from monitor.wire.fetch import fetch


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at. `good` False is a fault; None is a warning."""

    what: str
    good: bool | None
    says: str

    def __str__(self) -> str:
        mark = {True: "ok     ", None: "warning", False: "FAULT  "}[self.good]
        return f"{mark} {self.what}: {self.says}"


def check() -> None:
    """Print a line for each thing looked at, then the projected spend; exit 1 on any fault."""
    settings = configuration()
    lines = [Line("configuration", True, f"{settings.environment.monitor_config}, "
                  f"{len(settings.targets)} target(s), hash {settings.config_hash}")]  # fmt: skip
    with ExitStack() as edges:
        lines += _database(settings, edges)
        lines += asyncio.run(_outside(settings))
    book = pricing.book(settings.file.prices, same=identity.same)
    lines += _prices(settings, book)
    for line in lines:
        print(line)  # noqa: T201
    for target in settings.targets.values():
        for sentence in _projection(target, book):
            print(sentence)  # noqa: T201
    faults = sum(line.good is False for line in lines)
    if faults:
        raise SystemExit(FAILED)


def _database(settings: Settings, edges: ExitStack) -> Iterator[Line]:
    try:
        url = edges.enter_context(database_url(settings))
    except (EmbeddedFault, SystemExit) as fault:
        yield Line("database", False, str(fault))
        return
    try:
        found = asyncio.run(_revision(url))
        fits = schema.fits(found)
    except Away as away:
        yield Line("database", False, unreachable(settings, url, away))
    except SchemaUnknown as unknown:
        yield Line("schema", False, str(unknown))
    else:
        yield Line("database", True, named(settings, url))
        embedded = settings.environment.database_url is None
        if fits:
            yield Line("schema", True, f"revision {found}")
        elif embedded:
            yield Line("schema", True, f"revision {found or 'none'}; `monitor run` migrates it")
        else:
            yield Line("schema", False, f"revision {found or 'none'}, needed {REVISION}: "
                       "run `monitor migrate`")  # fmt: skip


async def _revision(url: str) -> str | None:
    database = Database(url)
    try:
        return await schema.revision(database)
    finally:
        await database.close()


async def _outside(settings: Settings) -> list[Line]:
    lines = [await _target(target) for target in settings.targets.values()]
    lines += [line async for line in _slack(settings)]
    return lines


async def _target(target: Target) -> Line:
    """Whether anything answers at the address. Asks no model, so it costs nothing."""
    reply = await fetch(target.url, headers={}, timeout_s=target.connect_deadline.total_seconds(),
                        ca_file=target.ca_file)  # fmt: skip
    what = f"target {target.name}"
    if reply.status is None:
        return Line(what, False, f"url = {target.url}: {reply.trouble}. Correct the address, or "
                    "start the service")  # fmt: skip
    return Line(what, True, f"{target.url} answers (HTTP {reply.status})")


async def _slack(settings: Settings) -> AsyncIterator[Line]:
    environment = settings.environment
    if environment.slack_bot_token is None and environment.slack_webhook_url is None:
        yield Line("slack", None, "neither SLACK_WEBHOOK_URL nor SLACK_BOT_TOKEN is set: messages "
                   "go to the console")  # fmt: skip
        return
    found = await told_by(environment).check()
    yield Line("slack", found.usable if found.usable is not None else True, found.says)


def _prices(settings: Settings, book: Book) -> Iterator[Line]:
    now = datetime.now(UTC)
    used = []
    for target in settings.targets.values():
        for model in (*target.expected_models, *target.fallback_models):
            price = book.price(model, at=now)
            if isinstance(price, Unpriced):
                yield Line(f"price of {model}", None, price.reason)
            else:
                used.append(price)
                rates = price.rates
                yield Line(f"price of {model}", True, f"${rates.input}/${rates.output} per million "
                           f"tokens in/out ({price.source})")  # fmt: skip
    for price in pricing.stale(used, on=now.date()):
        yield Line(f"price of {price.model}", None, f"read on {price.checked}, more than 60 days "
                   "ago: look again and date it")  # fmt: skip


def _projection(target: Target, book: Book) -> Iterator[str]:
    """What probing and traffic will cost, on the expected model and on each fallback."""
    yield f"projected spend of {target.name} (a month is 30 days):"
    for model, forecast in pricing.projected(target, book=book, at=datetime.now(UTC)).items():
        role = "expected" if model in target.expected_models else "fallback"
        if isinstance(forecast, Unpriced):
            yield f"  {role} {model}: {forecast.reason}"
        else:
            yield f"  {role} {model}: {_spend(forecast)}"


def _spend(forecast: Projection) -> str:
    probes, traffic = _usd(forecast.probes), _usd(forecast.traffic)
    return (
        f"probes {probes}/day + traffic {traffic}/day = {_usd(forecast.per_day)}/day, "
        f"{_usd(forecast.per_month)}/month"
    )


def _usd(amount: Amount) -> str:
    return f"{'at least ' if amount.at_least else ''}${amount.usd:.4f}"
