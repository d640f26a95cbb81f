"""`monitor check`: everything that can be known before the first paid probe.

One line each for configuration, database, schema, targets, prices, channels and provider accounts,
and the cost of probing on every possible model. Exit 1 with every error.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import TypeVar

from monitor import identity, notifications
from monitor.cli import check_details, check_load, provider_checks, surroundings
from monitor.cli.check_details import CheckLine
from monitor.cli.detection_summary import coverage, nothing_stored
from monitor.cli.spend_projection import projection
from monitor.cli.startup import FAILED, configuration, database_and_psql, named, unreachable
from monitor.command_name import as_started
from monitor.config import Settings
from monitor.dialects import dialect_of
from monitor.domain import Target, Unpriced, instant, lasting, usd_text
from monitor.embedded_postgres import EmbeddedPostgresError
from monitor.identity.fingerprint.profile import DetectionCoverage
from monitor.notifications import ConfiguredChannel
from monitor.pricing.book import PriceBook, price_book
from monitor.pricing.forecast import SpendForecast
from monitor.pricing.forecast import projected as projected_spend
from monitor.pricing.price_table import Price
from monitor.pricing.published import stale
from monitor.probing.fetch import fetch
from monitor.redaction import plain, redact, shown
from monitor.storage import (
    REVISION,
    Database,
    DatabaseUnavailable,
    SchemaUnknown,
    observations,
    outbox,
    schema,
    stored_rows,
)
from monitor.storage.baseline_answers import sizes
from monitor.tokenizers import BadTokenizer, counter
from monitor.worker.probe_round import EXCEEDED
from monitor.worker.status_pages import RECENT, not_interpreted

AT_ONCE = 10  # targets, pages or channels
Item = TypeVar("Item")
Said = TypeVar("Said")
MOST_CHARS = 300  # of an address: it may hold the whole text of a query


def check() -> None:
    """Print a line for each item, then the projected spend; exit 1 on any error."""
    settings = configuration(without_secrets=True)
    lines = [
        CheckLine(
            "configuration",
            True,
            f"{settings.source}, {len(settings.targets)} target(s), hash {settings.config_hash}",
        )
    ]
    book = price_book(settings.file.prices, same=identity.same)
    used = _used(settings, book)
    with ExitStack() as edges:
        probed: dict[str, datetime] = {}
        lines += _database(settings, edges, probed)
        outside, listed = asyncio.run(_outside(settings, used, probed))
    lines += [*outside, *_prices(used), *listed]
    lines += check_details.warnings(settings, used)
    lines += surroundings.lines(settings, os.environ)
    lines += _tokenizers(settings, used)
    lines += budget_warnings(settings, book)
    lines += check_load.lines(settings)
    for line in lines:
        print(as_started(str(line)))  # noqa: T201
    for target in settings.targets.values():
        for sentence in projection(target, book, settings.file.probes.daily_budget_usd):
            print(as_started(sentence))  # noqa: T201
    faults = sum(line.good is False for line in lines)
    if faults:
        raise SystemExit(FAILED)


def _database(
    settings: Settings, edges: ExitStack, probed: dict[str, datetime]
) -> Iterator[CheckLine]:
    """`probed` gets the targets whose latest probe was answered, and when it was sent."""
    try:
        url, psql = edges.enter_context(database_and_psql(settings))
    except EmbeddedPostgresError as fault:
        yield CheckLine("database", False, str(fault))
        return
    try:
        found = asyncio.run(_revision(url))
        fits = schema.fits(found)
    except DatabaseUnavailable as unavailable:
        yield CheckLine("database", False, unreachable(settings, url, unavailable))
    except SchemaUnknown as unknown:
        yield CheckLine("schema", False, str(unknown))
    else:
        yield CheckLine(
            "database",
            True,
            named(settings, url)
            + (f"; to query it while a worker or another command runs: {psql}" if psql else ""),
        )
        yield _kept(settings, psql)
        embedded = settings.environment.database_url is None
        if fits:
            yield CheckLine("schema", True, f"revision {found}")
            yield from asyncio.run(_reader(settings, url))
            yield from asyncio.run(_detection(settings, url, probed))
        elif embedded:
            yield CheckLine(
                "schema", True, f"revision {found or 'none'}; `monitor run` migrates it"
            )
            for target in settings.targets.values():
                yield from _covered(nothing_stored(target))
                yield from check_details.lines(target, {})
        else:
            yield CheckLine(
                "schema",
                False,
                f"revision {found or 'none'}, needed {REVISION}: run `monitor migrate`",
            )


def _kept(settings: Settings, psql: str | None) -> CheckLine:
    """How long stored data is kept, and which loss cannot be repaired."""
    storage = settings.file.storage
    dump = re.sub(r"psql(?=['\s]|$)", "pg_dump", psql, count=1) if psql else "pg_dump"
    return CheckLine(
        "retention",
        True,
        f"raw rows {_days(storage.keep_raw)}, excerpts of answers "
        f"{_days(storage.keep_excerpts)}; rollups, incidents and baselines "
        "forever. A lost baseline cannot be captured again: back up the database with "
        f"`{dump}`",
    )


def _days(span: timedelta) -> str:
    whole = span / timedelta(days=1)
    return f"{whole:.0f} days" if whole == int(whole) and whole != 1 else lasting(span)


async def _revision(url: str) -> str | None:
    database = Database(url)
    try:
        return await schema.revision(database)
    finally:
        await database.close()


async def _reader(settings: Settings, url: str) -> list[CheckLine]:
    """Whether monitor_reader can only read: `migrate` cannot revoke every privilege."""
    database = Database(url)
    try:
        async with database.begin() as connection:
            found = await schema.excess(connection)
    except DatabaseUnavailable as unavailable:
        return [CheckLine("database", False, unreachable(settings, url, unavailable))]
    finally:
        await database.close()
    return [CheckLine("role monitor_reader", None, f"{may}: run {remedy}") for may, remedy in found]


async def _detection(settings: Settings, url: str, probed: dict[str, datetime]) -> list[CheckLine]:
    """What cannot yet be detected for each target's model, and the size of its prompts."""
    database = Database(url)
    lines = []
    captured = False
    try:
        for target in settings.targets.values():
            async with database.begin() as connection:
                found = await coverage(connection, target)
                prompts = await sizes(connection, target.name)
                sources = await observations.claim_sources(connection, target.name)
                degraded = await observations.degraded_share(connection, target.name)
                alike = await observations.identical_answers(connection, target.name)
                if answered := await observations.answered_at(connection, target.name):
                    probed[target.name] = answered
                stopped = await stored_rows.with_reason(
                    connection, [target.name], EXCEEDED, span=RECENT
                )
            lines += [*_covered(found), *check_details.lines(target, prompts)]
            lines += check_details.untrusted(target, sources)
            lines += check_details.unmeasured(target, *degraded)
            lines += check_details.cached(target, alike)
            lines += [
                CheckLine(f"answers of {target.name}", None, not_interpreted(name, count))
                for name, count in stopped.items()
            ]
            captured = captured or found.profile is not None
        async with database.begin() as connection:
            waiting = await outbox.backlogs(connection, settings.channels)
        lines += [check_details.delivery(one, now=datetime.now(UTC)) for one in waiting]
        if captured and settings.environment.database_url is None:
            lines.append(check_details.unsaved(settings.environment.monitor_home))
    except DatabaseUnavailable as unavailable:
        lines.append(CheckLine("database", False, unreachable(settings, url, unavailable)))
    finally:
        await database.close()
    return lines


def _covered(found: DetectionCoverage) -> list[CheckLine]:
    what = f"detection of {found.target.name}"
    gaps = [CheckLine(what, None, gap) for gap in found.gaps()]
    return gaps or [CheckLine(what, True, "; ".join(found.detected()))]


async def _outside(
    settings: Settings, used: Mapping[str, Price | Unpriced], probed: Mapping[str, datetime]
) -> tuple[list[CheckLine], list[CheckLine]]:
    """Checks that need other services, concurrently: their lines, and those of the price list."""
    pages = [name for name in settings.health if not settings.lacks_secrets(name)]
    targets, read, channels, accounts, listed = await asyncio.gather(
        _each(partial(_target, probed, secrets=settings.secrets), settings.targets.values()),
        _each(partial(check_details.page, settings), pages),
        _each(_channel, settings.usable_channels),
        _listed(provider_checks.accounts(settings.environment)),
        _listed(provider_checks.prices(_known(used), settings.environment)),
    )
    lines = [*targets, *(_request(target, settings) for target in settings.targets.values())]
    lines += [*read, *chain.from_iterable(channels), *check_details.unheard(settings)]
    if not settings.unresolved and notifications.unheard(settings.channels.values()):
        lines.append(_nobody(settings))
    return [*lines, *accounts], listed


async def _each(ask: Callable[[Item], Awaitable[Said]], items: Iterable[Item]) -> list[Said]:
    """The lines of each item in order; at most `AT_ONCE` are checked concurrently."""
    seats = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Said:
        async with seats:
            return await ask(item)

    return await asyncio.gather(*map(one, items))


async def _listed(lines: AsyncIterator[CheckLine]) -> list[CheckLine]:
    return [line async for line in lines]


async def _target(
    probed: Mapping[str, datetime], target: Target, secrets: Iterable[str] = ()
) -> CheckLine:
    """Whether a server is at the address of the probes. It sends no question: it costs nothing."""
    asked = check_details.address_without_question(target)
    reply = await fetch(
        asked or target.url,
        headers={},
        timeout_s=target.connect_deadline.total_seconds(),
        target=target,
    )
    what = f"target {target.name}"
    address = plain(redact(shown(asked or target.url), secrets), MOST_CHARS)
    if reply.status is None:
        remedy = _remedy(target, reply.error or "")
        return CheckLine(what, False, f"url = {shown(target.url)}: {reply.error}. {remedy}")
    if asked is None:
        return CheckLine(what, True, f"{address} is reachable (HTTP {reply.status})")
    if answered := probed.get(target.name):
        sent = instant(answered, now=datetime.now(UTC))
        return CheckLine(what, True, f"{address} is reachable; the probe of {sent} was answered")
    return CheckLine(what, *check_details.answered(reply.status, address, target.name))


def _remedy(target: Target, error_reason: str) -> str:
    """What to correct if a target cannot be reached."""
    key = f"targets.{target.name}"
    if target.ca_file is not None and error_reason.startswith("CA file"):
        return f"Correct {key}.ca_file"
    if target.proxy is not None:
        return f"Correct {key}.proxy or {key}.url, or start the proxy and the service"
    return "Correct the address, or start the service"


def _request(target: Target, settings: Settings) -> CheckLine:
    """What probes request. The dialect derives it from `url`; a wrong path is visible here."""
    request = dialect_of(target).build_request(target.queries[0], target)
    address = plain(redact(shown(request.url), settings.secrets), MOST_CHARS)
    return CheckLine(f"request of {target.name}", True, f"{request.method} {address}")


async def _channel(configured: ConfiguredChannel) -> list[CheckLine]:
    """Whether a channel can be used, what it accepts, and a warning for what it cannot do."""
    notifier = configured.opened().notifier
    found = await notifier.check()
    what, broken = f"channel {configured.name} ({configured.kind})", found.usable is False
    see = f"; see {notifier.guide}" if notifier.guide else ""
    reason = f"{found.reason}{see if broken else ''}; takes {configured.accepts}"
    limits = (CheckLine(what, None, f"{limit}{see}") for limit in found.limits)
    return [CheckLine(what, not broken, reason), *limits]


def _nobody(settings: Settings) -> CheckLine:
    """A warning if no channel notifies people."""
    alone = notifications.incomplete(settings.environment.for_notifiers)
    unused = f"{', '.join(alone)} alone sends nothing; " if alone else ""
    return CheckLine(
        "channels",
        None,
        f"{unused}messages reach no one: set {notifications.setup()}, or add [[channels]]",
    )


def _used(settings: Settings, book: PriceBook) -> Mapping[str, Price | Unpriced]:
    """The price of each possible model, by the name under which it is declared."""
    now = datetime.now(UTC)
    targets = settings.targets.values()
    models = [m for target in targets for m in (*target.expected_models, *target.fallback_models)]
    return {model: book.price(model, at=now) for model in models}


def _prices(used: Mapping[str, Price | Unpriced]) -> Iterator[CheckLine]:
    for model, price in used.items():
        if isinstance(price, Unpriced):
            yield CheckLine(f"price of {model}", None, price.reason)
        else:
            rates = price.rates
            yield CheckLine(
                f"price of {model}",
                True,
                f"${rates.input}/${rates.output} per million tokens in/out ({price.source})",
            )
    for price in stale(_known(used), on=datetime.now(UTC).date()):
        yield CheckLine(
            f"price of {price.model}",
            None,
            f"read on {price.checked}, more than 60 days ago: check it again and update the date",
        )


def _known(used: Mapping[str, Price | Unpriced]) -> list[Price]:
    """Each price once, even if several names refer to it."""
    return list(dict.fromkeys(p for p in used.values() if isinstance(p, Price)))


def _tokenizers(settings: Settings, used: Mapping[str, object]) -> Iterator[CheckLine]:
    """Whether each tokenizer can be read and belongs to a target's model."""
    for model, section in settings.file.tokenizers.items():
        what = f"tokenizer of {model}"
        if not any(identity.same(model, declared) for declared in used):
            yield CheckLine(what, False, "no target declares this model: correct its name")
            continue
        try:
            counter(section.file, pattern=section.pattern)
        except BadTokenizer as reason:
            yield CheckLine(what, False, str(reason))
        else:
            yield CheckLine(what, True, section.file)


def budget_warnings(settings: Settings, book: PriceBook) -> Iterator[CheckLine]:
    """Whether the daily budget of the probes is enough for a day without failures."""
    now, whole, rounds = datetime.now(UTC), Decimal(0), Decimal(0)
    for target in settings.targets.values():
        found = projected_spend(target, book=book, at=now)
        models = (found[model] for model in target.expected_models)
        rounds += len(target.queries) * Decimal(86_400) / Decimal(target.every.total_seconds())
        whole += max(
            (f.probes.usd for f in models if isinstance(f, SpendForecast)), default=Decimal(0)
        )
    most = settings.file.probes.max_per_day
    if rounds > most:
        yield CheckLine(
            "probe budget",
            None,
            f"probes.max_per_day = {most} lasts "
            f"{24 * most / rounds:.0f} hours a day ({rounds:.0f} probes are due): raise it, "
            "or probe less often",
        )
    budget = settings.file.probes.daily_budget_usd
    if whole > budget:
        hours = 24 * budget / whole
        yield CheckLine(
            "probe budget",
            None,
            f"${budget} a day lasts {hours:.0f} hours on the expected "
            f"models alone ({usd_text(whole)}/day): raise probes.daily_budget_usd, probe "
            "less often, or set stop_after_chars of the queries",
        )
