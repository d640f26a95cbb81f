"""The calendar job: what ends or changes soon, read, stored, and reported once per stage.

One worker at a time. What was reported is stored in the transaction that writes the notice, so a
restart or another worker repeats nothing.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from monitor.domain import (
    ALL,
    AccountReading,
    AccountState,
    Target,
    TryLater,
    rounded_usd_text,
    usd_text,
)
from monitor.incidents.inhibitions import Inhibitions
from monitor.incidents.notices import passing_notice
from monitor.incidents.silences import is_silenced
from monitor.probing.certificate import certificate_end, certificate_host
from monitor.rules import DEFAULT_RULES, rule_of
from monitor.rules.calendar import Calendar, CalendarEntry, CalendarKind, CalendarRule
from monitor.storage import Connection, account_readings, calendar_rows, outbox
from monitor.storage.calendar_rows import CalendarReading
from monitor.worker import (
    account_polling,
    daily_spend,
    delivery_job,
    lease_keeper,
    model_dates,
    model_polling,
)
from monitor.worker.context import WorkerContext
from monitor.worker.daily_spend import KeyCredit
from monitor.worker.target_verdicts import isolated

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=15)  # longer than a run in which every handshake is slow
DAILY = timedelta(days=1)
AFTER_FAILURE = timedelta(hours=1)
MOST = 200  # certificates a run
TOGETHER = 8  # handshakes at a time
FARTHEST = timedelta(days=3650)  # later dates stand for "never"
FARTHEST_CREDIT = timedelta(days=365)


async def update(context: WorkerContext) -> bool:
    """Update the calendar, and write a notice if a date comes near; True if one was written.

    Raises DatabaseUnavailable.
    """
    due = await _certificates_due(context)
    if due is None:
        return False
    read = await _certificates(context, due)
    rule = rule_of(context.settings.rules, CalendarRule)
    async with context.database.begin() as connection:
        now = context.now()
        if await lease_keeper.hold(context, connection, "calendar", keep=LEASE) is None:
            return False  # another worker took over while we read
        accounts = partial(_accounts, connection, context, now)
        models = partial(model_dates.read, connection, context, now)
        readings = [
            *read,
            *(await isolated(connection, "dates of accounts", accounts) or ()),
            *(await isolated(connection, "dates of models", models) or ()),
        ]
        await calendar_rows.keep(connection, readings, at=now)
        await calendar_rows.withdraw(connection, _configured(context), at=now)
        if rule is None or is_silenced(
            await delivery_job.silence(connection, context), rule.name, ALL, now=now
        ):
            return False
        calendar = await calendar_of(connection, context)
        due_now, verdict = rule.due(calendar, now), rule.judge(calendar, None, now)
        if not due_now:
            return False
        inhibitions = Inhibitions({**DEFAULT_RULES, **context.settings.rules})
        notice = passing_notice(verdict, inhibitions, now=now)
        news = await outbox.add(connection, notice, channels=context.takers(notice), incident=None)
        for entry, days in due_now:
            await calendar_rows.tell(connection, entry, days=days)
    log.info("calendar notice written", extra={"entries": len(due_now)})
    return news


async def calendar_of(connection: Connection, context: WorkerContext) -> Calendar:
    """The stored calendar. Its days begin at the hour of the digest."""
    digest = context.settings.file.digest
    return Calendar(
        entries=await calendar_rows.entries(connection),
        day_starts=digest.at,
        zone=ZoneInfo(digest.timezone),
    )


def _configured(context: WorkerContext) -> dict[CalendarKind, list[str]]:
    """The scopes for which entries of each kind may stand."""
    held = list(account_polling.providers(context.settings.environment))
    secure = [t.name for t in context.settings.targets.values() if certificate_host(t)]
    listed = [model_polling.PROVIDER] if model_polling.enabled(context.settings) else []
    return {
        **dict.fromkeys(model_dates.KINDS, listed),
        CalendarKind.KEY: held,
        CalendarKind.CREDIT: held,
        CalendarKind.CERTIFICATE: secure,
    }


# Certificates: one handshake a day with each https target.


async def _certificates_due(context: WorkerContext) -> list[Target] | None:
    """The targets whose certificate is to be read now; None while another worker does."""
    async with context.database.begin() as connection:
        if await lease_keeper.hold(context, connection, "calendar", keep=LEASE) is None:
            return None
        read_at = await calendar_rows.read_at(connection, CalendarKind.CERTIFICATE)
    now, tried_at = context.now(), context.state.certificates_tried_at
    due = []
    for target in context.settings.targets.values():
        host = certificate_host(target)
        if host is None:
            continue
        read, tried = read_at.get((target.name, _handshake(host))), tried_at.get(target.name)
        if read is not None and abs(now - read) < DAILY:
            continue
        if tried is None or abs(now - tried) >= AFTER_FAILURE:
            due.append(target)
    return due[:MOST]


def _handshake(host: str) -> str:
    return f"TLS handshake with {host}"


async def _certificates(context: WorkerContext, due: Sequence[Target]) -> list[CalendarReading]:
    """What could be read; a failure is tried again later, and is harmless."""
    turns = asyncio.Semaphore(TOGETHER)

    async def read(target: Target) -> CalendarReading | None:
        async with turns:
            if context.state.leaving.is_set():
                return None
            ends_at = await certificate_end(target, http=context.client)
        if isinstance(ends_at, TryLater):
            context.state.certificates_tried_at[target.name] = context.now()
            facts = {"target": target.name, "reason": ends_at.reason}
            log.info("certificate not read", extra=facts)
            return None
        entry = CalendarEntry(
            kind=CalendarKind.CERTIFICATE,
            scope=target.name,
            at=ends_at,
            what="the certificate expires",
            source=_handshake(certificate_host(target) or ""),
            term=ends_at.isoformat(),
        )
        return CalendarReading(entry.kind, entry.scope, [entry])

    return [one for one in await asyncio.gather(*map(read, due)) if one is not None]


# Accounts: the expiry of each key, and how long its credit lasts.


async def _accounts(
    connection: Connection, context: WorkerContext, now: datetime
) -> list[CalendarReading]:
    """A failed reading says nothing about expiry or credit."""
    latest = await account_readings.latest(connection)
    fresh = account_polling.fresh(latest, context.settings, now)
    credits = {one.provider: one for one in await daily_spend.credits(connection, fresh, now)}
    return [
        part for reading in fresh for part in _account(reading, credits.get(reading.provider), now)
    ]


def _account(
    reading: AccountReading, credit: KeyCredit | None, now: datetime
) -> Iterator[CalendarReading]:
    provider, expires_at = reading.provider, reading.expires_at
    if reading.state in (AccountState.THROTTLED, AccountState.FAILING):
        return
    if reading.state is not AccountState.OK:  # it is over: rule `key` reports it
        yield CalendarReading(CalendarKind.KEY, provider)
        yield CalendarReading(CalendarKind.CREDIT, provider)
        return
    expiry = CalendarReading(CalendarKind.KEY, provider)
    if expires_at is not None and expires_at - now < FARTHEST:
        entry = CalendarEntry(
            kind=CalendarKind.KEY,
            scope=provider,
            at=expires_at,
            what="the key expires",
            source=f"account API of {provider}",
            term=expires_at.astimezone(UTC).isoformat(),
        )
        expiry = CalendarReading(CalendarKind.KEY, provider, [entry])
    yield expiry
    if credit is not None or reading.remaining_usd is None:
        end = None if credit is None else _credit_end(credit, now)
        entries = [end] if end is not None else []
        yield CalendarReading(CalendarKind.CREDIT, provider, entries)


def _credit_end(credit: KeyCredit, now: datetime) -> CalendarEntry | None:
    """When the credit is used up at the rate of the last day; None: not within a year."""
    if credit.day_usd <= 0 or credit.left_usd / credit.day_usd > FARTHEST_CREDIT.days:
        return None
    left = timedelta(days=float(credit.left_usd / credit.day_usd))
    rate = f"{rounded_usd_text(credit.day_usd)} a day"
    spent = f"{usd_text(credit.left_usd)} of credit is used up at {rate}"
    return CalendarEntry(
        kind=CalendarKind.CREDIT,
        scope=credit.provider,
        at=now + left,
        what=spent,
        source=f"account API of {credit.provider}",
        term="credit",
    )
