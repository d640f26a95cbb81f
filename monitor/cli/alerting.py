"""`monitor incidents`, `mute` and `test-alert`: notices, silences, and a test of the channels."""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from monitor import notifications
from monitor.accounts import ACCOUNTS
from monitor.cli.incident_evidence import evidence, parts
from monitor.cli.startup import (
    BAD_INPUT,
    configuration,
    database_and_psql,
    database_url,
    sentence,
    stop,
    unreachable,
)
from monitor.command_name import as_started
from monitor.config import Settings
from monitor.domain import (
    ALL,
    Finding,
    GiveUp,
    Incident,
    Notice,
    NoticeStatus,
    Sent,
    Severity,
    TryLater,
    amount_text,
    lasting,
)
from monitor.incidents.actions import ActionKind, IncidentAction, Reaction
from monitor.notifications import ConfiguredChannel
from monitor.redaction import plain, redact
from monitor.rules import RULES
from monitor.storage import (
    Connection,
    Database,
    DatabaseUnavailable,
    incident_actions,
    incident_details,
    incident_rows,
    outbox,
    schema,
)
from monitor.storage.incident_rows import MuteInForce

# `monitor incidents`: open and past incidents; silences with a reason and an end.


T = TypeVar("T")

_NAME = 80  # characters of a person's name


def listed(*, since: timedelta, only_open: bool) -> None:
    """Print incidents, newest first, and the mutes in force."""
    settings = configuration(without_secrets=True)

    async def both(connection: Connection) -> tuple[Sequence[Incident], Sequence[MuteInForce]]:
        return (
            await incident_rows.history(connection, since=since),
            await incident_rows.in_force(connection),
        )

    found, silenced = _query_database(settings, both)
    shown = [incident for incident in found if incident.open or not only_open]
    for line in _lines(shown, silenced):
        print(line)  # noqa: T201


def show(number: int) -> None:
    """Print all details of one incident."""
    settings = configuration(without_secrets=True)

    now = datetime.now(UTC)

    async def one(connection: Connection) -> Sequence[str]:
        incident = await _numbered(connection, number)
        cost = await incident_rows.cost(connection, number)
        actions = await incident_actions.of(connection, incident.announced_as or number)
        began_at, until = incident.began_at, incident.breach_until or now
        figures = await incident_details.by_query(
            connection, incident.scope, since=began_at, until=until
        )
        answers = await incident_details.excerpts(connection, incident.rows, since=began_at)
        proof = evidence(incident, figures, answers, now=now)
        return [*_whole(incident, cost, actions), *(f"  {line}" for line in proof)]

    for line in _query_database(settings, one):
        print(as_started(line))  # noqa: T201


async def _numbered(connection: Connection, number: int) -> Incident:
    """The incident with this number; ends the command if there is none."""
    incident = await incident_rows.numbered(connection, number)
    if incident is None:
        stop(f"there is no incident #{number}; see `monitor incidents list`", BAD_INPUT)
    return incident


def acknowledge(number: int, *, by: str | None, undo: bool) -> None:
    """Stop the reminders of an open incident, or resume them."""
    settings = configuration(without_secrets=True)
    name = plain(_person() if by is None else by, _NAME)
    if not name:
        stop("--by is empty: give the name of a person", BAD_INPUT)

    async def answer(connection: Connection) -> str:
        from monitor.worker import answering

        incident = await _numbered(connection, number)
        known = incident.announced_as or number
        answered = await incident_actions.answerable(connection, known)
        if answered is None:
            stop(f"incident #{number} is over: it sends no reminders", BAD_INPUT)
        part = f"#{number} is part of it. " if known != number else ""
        if undo:
            resumed = await answering.resume_reminders(
                connection, answered, by=name, channels=settings.channels
            )
            if not resumed:
                stop(f"incident #{known} is not acknowledged", BAD_INPUT)
            return f"#{known} is no longer acknowledged. {part}Reminders resume."
        reaction = Reaction(ActionKind.ACKNOWLEDGE, name)
        taken = await answering.take(
            connection, answered, reaction, name=name, channels=settings.channels
        )
        if taken is None:
            stop(f"{name} has acknowledged incident #{known} already", BAD_INPUT)
        return f"acknowledged #{known} by {name}. {part}Its end is still sent."

    print(as_started(_query_database(settings, answer)))  # noqa: T201


def mute(*, rule: str, target: str, reason: str, span: timedelta) -> None:
    """Silence a rule, a target, or both, for a reason and a time."""
    settings = configuration(without_secrets=True)
    reason = reason.strip()
    if not reason:
        stop("--reason is empty: give a reason for other readers of the incident", BAD_INPUT)
    rule, target = _known(settings, rule, target)
    until = datetime.now(UTC) + span

    async def add(connection: Connection) -> int:
        return await incident_rows.add(
            connection, rule=rule, target=target, reason=reason, muted_by=_person(), until=until
        )

    _query_database(settings, add)
    print(f"muted {rule} · {target} until {until:%Y-%m-%d %H:%M} UTC: {reason}")  # noqa: T201


def unmute(*, rule: str, target: str) -> None:
    """End all mutes of this rule and target."""
    settings = configuration(without_secrets=True)
    # the target may have been removed from the configuration
    rule, target = rule.strip().lower(), target.strip().lower()

    async def end(connection: Connection) -> int:
        return await incident_rows.end(connection, rule=rule, target=target, by=_person())

    count = _query_database(settings, end)
    if not count:
        stop(f"{rule} · {target} is not muted; `monitor incidents` lists the mutes", BAD_INPUT)
    print(f"unmuted {rule} · {target}")  # noqa: T201


def _query_database(settings: Settings, question: Callable[[Connection], Awaitable[T]]) -> T:
    async def ask(url: str) -> T:
        database = Database(url)
        try:
            async with database.begin() as connection:
                return await question(connection)
        finally:
            await database.close()

    with database_url(settings) as url:
        try:
            return asyncio.run(ask(url))
        except DatabaseUnavailable as unavailable:
            stop(unreachable(settings, url, unavailable))


def _known(settings: Settings, rule: str, target: str) -> tuple[str, str]:
    """Both names as stored; ends the command if one of them is unknown."""
    rule, target = rule.strip().lower(), target.strip().lower()
    if rule not in (ALL, *RULES):
        stop(f'unknown rule "{rule}"; known: {ALL}, {", ".join(RULES)}', BAD_INPUT)
    known = (ALL, *settings.targets, *ACCOUNTS, *settings.channels)
    if target not in known:
        stop(f'unknown target "{target}"; known: {", ".join(known)}', BAD_INPUT)
    return rule, target


def _person() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return "somebody"


def _lines(found: Sequence[Incident], silenced: Sequence[MuteInForce]) -> Iterator[str]:
    if not found:
        yield "no incident"
    for incident in found:
        part = f" (part of {incident.part_of[0]})" if incident.part_of else ""
        if incident.announced_as not in (None, incident.number):
            relation = "part of" if incident.part_of else "announced as"
            part = f" ({relation} #{incident.announced_as})"
        yield (
            f"#{incident.number} {_state(incident)} {_subject(incident)}{part} "
            f"{_times(incident)}: {incident.opening_because or incident.because}"
            + (f" Now: {incident.recovering_reason}" if incident.recovering_reason else "")
            + (f" Acknowledged by {incident.acknowledged_by}." if incident.acknowledged_by else "")
        )
    for item in silenced:
        yield (
            f"muted {item.rule} · {item.target} until {item.until:%Y-%m-%d %H:%M} UTC "
            f"by {item.muted_by}: {item.reason}"
        )


def _whole(
    incident: Incident,
    cost: incident_rows.IncidentCost | None = None,
    answers: Sequence[IncidentAction] = (),
) -> Iterator[str]:
    yield from _lines([incident], [])
    for label, value in (
        ("query", incident.query or None),
        ("first seen", _moment(incident.began_at)),
        ("opened", _moment(incident.opened_at)),
        ("notified", incident.told_at and _moment(incident.told_at)),
        ("breach ended", incident.until and _moment(incident.until)),
        ("resolved", incident.resolved_at and _moment(incident.resolved_at)),
        ("latest", incident.current_reason),
        *parts(incident),
        ("ended by", incident.ended),
        ("told", incident.told),
        ("reminders", incident.reminders or None),
        ("reopened", incident.reopenings or None),
    ):
        if value is not None:
            yield f"  {label}: {value}"
    if cost is not None:
        between = amount_text(cost.usd, cost.high_usd, at_least=cost.at_least)
        yield f"  cost while open: {between}"
    yield from (f"  {label}: {fact}" for label, fact in incident.facts.items())
    yield from (f"  {_answer(action)}" for action in answers)


def _answer(action: IncidentAction) -> str:
    """What a person did, when and how, and whether it is still in effect."""
    through = f" in {action.channel}" if action.channel else ""
    line = f"{action.kind} by {action.person}{through} at {_moment(action.at)}"
    if action.undone_at is not None:
        by = f" by {action.undone_by}" if action.undone_by else ""
        line += f", undone{by} at {_moment(action.undone_at)}"
    if action.failure is not None:
        line += f", failed: {action.failure}"
    elif action.done_at is not None:
        line += f", posted at {_moment(action.done_at)}"
    return line


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _subject(incident: Incident) -> str:
    """Rule and scope; in mode "immediate" also the canned query."""
    query = f" · {incident.query}" if incident.query else ""
    return f"{incident.rule} · {incident.scope}{query}"


def _state(incident: Incident) -> str:
    return "OPEN" if incident.open else "resolved"


def _times(incident: Incident) -> str:
    """Duration from the first bad row, as in messages and reports."""
    began = f"{incident.began_at:%Y-%m-%d %H:%M} UTC"
    ended = incident.breach_until
    if incident.open or ended is None:
        if incident.breach_since <= incident.began_at:
            return f"since {began}"
        again = f"{incident.breach_since:%Y-%m-%d %H:%M} UTC"
        return f"again since {again}, first at {began}"
    return f"{began}, {lasting(ended - incident.began_at)}"


# `monitor test-alert`: one real message through each channel, and whether it was accepted.


def send_test(channel: str | None) -> None:
    """Send a notice through one channel or all; exit 1 with the reason if one rejects it.

    It also exits with 1 if no channel notifies people: the notice is then only printed.
    """
    settings = configuration()
    name = channel.strip().lower() if channel else None
    if name is not None and name not in settings.channels:
        stop(f'unknown channel "{name}"; known: {", ".join(settings.channels)}', BAD_INPUT)
    chosen = [settings.channels[name]] if name else [*settings.channels.values()]
    notice = Notice(
        id=uuid4(),
        status=NoticeStatus.NOTICE,
        rule="test",
        scope=ALL,
        sentence="This is a test. Alerts of this monitor will look like this and arrive here.",
        at=datetime.now(UTC),
        facts={"Watched": ", ".join(sorted(settings.targets))},
        severity=Severity.INFO,
        finding=Finding(
            what="test message of rag-monitor",
            extent="Alerts of this monitor will look like this and arrive here",
        ),
    )
    failed = [reason for one in chosen if (reason := _tested(settings, one, notice))]
    if notifications.unheard(chosen):
        failed.append(f"nothing was sent: set {notifications.setup()}, or add [[channels]]")
    if failed:
        stop("\n".join(failed))


def _tested(settings: Settings, configured: ConfiguredChannel, notice: Notice) -> str | None:
    """Send a notice through one channel; returns the reason if it was not accepted."""
    notifier = configured.opened().notifier
    match asyncio.run(notifier.send(notice, runbook_url=settings.file.slack.runbook_url)):
        case Sent() if not notifier.reaches_people:
            return None
        case Sent():
            print(f"sent through {configured.name}")  # noqa: T201
            _accepted(settings, configured.name)
            return None
        case TryLater(reason) | GiveUp(reason):
            return f"{configured.name} did not take it: {redact(reason, settings.secrets)}"


def _accepted(settings: Settings, channel: str) -> None:
    """Resume a channel that had rejected all messages, without waiting for the next recheck.

    An embedded database that does not exist yet is not created for this.
    """
    environment = settings.environment
    if environment.database_url is None and not (environment.monitor_home / "postgres").exists():
        return
    try:
        with database_and_psql(settings) as (url, _):
            if asyncio.run(_cleared(url, channel)):
                print("it had refused all messages: waiting messages are sent now")  # noqa: T201
    except Exception as error:  # the message was accepted, whatever is wrong with the database
        later = (
            f"a channel that refused all messages is tried again within an hour: {sentence(error)}"
        )
        print(later, file=sys.stderr)  # noqa: T201


async def _cleared(url: str, channel: str) -> bool:
    database = Database(url)
    try:
        if not schema.fits(await schema.revision(database)):
            return False
        async with database.begin() as connection:
            return await outbox.accepted(connection, channel)
    finally:
        await database.close()
