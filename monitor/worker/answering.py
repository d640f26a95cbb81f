"""Answers of people take effect: change of state and reply in the thread, in one transaction.

A kill loses neither and repeats neither: the answer is a row that is written once, and the reply
is a row of the outbox whose id follows from it. Every channel that was notified of the incident
gets it; `channels` are all that are configured.
"""

from collections.abc import Iterable

from monitor.domain import Notice
from monitor.incidents.actions import (
    MUTED_FOR,
    SYMBOLS,
    ActionKind,
    AnsweredIncident,
    IncidentAction,
    Reaction,
    acknowledged,
    chart_failed,
    muted,
    not_acknowledged,
    reply,
    unmuted,
)
from monitor.storage import Connection, clock_repair, incident_actions, incident_rows, outbox


async def take(
    connection: Connection,
    incident: AnsweredIncident,
    reaction: Reaction,
    *,
    name: str | None,
    channels: Iterable[str],
    channel: str | None = None,
    reference: str | None = None,
    subjects: Iterable[tuple[str, str]] = (),
) -> IncidentAction | None:
    """An answer; None where it was taken before. `subjects`: rules and scopes that a mute silences.

    `channel` and `reference` None: by command.
    """
    action = await incident_actions.add(
        connection, incident.number, reaction, name=name, channel=channel, reference=reference
    )
    if action is None:
        return None
    now = await clock_repair.now(connection)
    others: Iterable[IncidentAction] = ()
    match action.kind:
        case ActionKind.ACKNOWLEDGE:
            others = await incident_actions.acknowledging(
                connection, incident.number, besides=action.id
            )
            sentence = acknowledged(action, others)
        case ActionKind.MUTE:
            until, subjects = now + MUTED_FOR, tuple(subjects)
            for rule, scope in subjects:
                await incident_rows.add(
                    connection,
                    rule=rule,
                    target=scope,
                    reason=f"{SYMBOLS[ActionKind.MUTE]} on #{incident.number}",
                    muted_by=action.person,
                    until=until,
                    action=action.id,
                )
            sentence = muted(action, _named(subjects), until=until, now=now)
        case ActionKind.CHART:
            return action  # the chart is the reply
    message = reply(action, incident, sentence, step="added", now=now)
    await _reply(connection, message, channels)
    return action


async def take_back(
    connection: Connection,
    incident: AnsweredIncident,
    action: IncidentAction,
    *,
    channels: Iterable[str],
    by: str | None = None,
) -> bool:
    """Undo an answer; False where nothing is left to undo. `by` None: the person who gave it."""
    before = await incident_actions.remove(connection, action, by=by or action.person)
    if before is None:
        return False
    now = await clock_repair.now(connection)
    others: Iterable[IncidentAction] = ()
    match action.kind:
        case ActionKind.ACKNOWLEDGE if before.undone_at is None:
            others = await incident_actions.acknowledging(
                connection, incident.number, besides=action.id
            )
            sentence = not_acknowledged(action, others)
        case ActionKind.MUTE if ended := await incident_rows.end_asked(connection, action.id):
            still = [
                mute.until
                for mute in await incident_rows.in_force(connection)
                if (mute.rule, mute.target) in ended
            ]
            until = max(still, default=None)
            sentence = unmuted(action, _named(ended), until=until, now=now)
        case _:
            return False
    message = reply(action, incident, sentence, step="removed", now=now, others=others)
    await _reply(connection, message, channels)
    return True


async def resume_reminders(
    connection: Connection, incident: AnsweredIncident, *, by: str, channels: Iterable[str]
) -> bool:
    """By command: end every acknowledgement of an incident; False where there is none.

    Reactions that still stand do not acknowledge it again.
    """
    given = await incident_actions.acknowledging(connection, incident.number)
    if not given:
        return False
    await incident_actions.undo(connection, [action.id for action in given], by=by)
    now = await clock_repair.now(connection)
    sentence = f"No longer acknowledged: withdrawn by {by}; reminders resume."
    message = reply(given[-1], incident, sentence, step="removed", now=now)
    await _reply(connection, message, channels)
    return True


async def give_up_chart(
    connection: Connection, incident: AnsweredIncident, action: IncidentAction, reason: str
) -> None:
    """Say where it was asked for why a chart is not posted, and try no more."""
    await incident_actions.finish_chart(connection, action, failure=reason)
    now = await clock_repair.now(connection)
    sentence = chart_failed(action, reason)
    message = reply(action, incident, sentence, step="failed", now=now)
    await _reply(connection, message, filter(None, [action.channel]))


async def _reply(connection: Connection, notice: Notice, channels: Iterable[str]) -> None:
    notified_before = dict.fromkeys(channels, False)
    await outbox.add(connection, notice, channels=notified_before, incident=notice.number)


def _named(subjects: Iterable[tuple[str, str]]) -> str:
    return " and ".join(f"{rule} · {scope}" for rule, scope in subjects)
