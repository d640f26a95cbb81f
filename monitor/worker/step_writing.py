"""Writes the steps of an evaluation: incidents and their notices."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from monitor.domain import Incident, Notice, NoticeStatus
from monitor.incidents.planner import IncidentStep
from monitor.storage import Connection, incident_rows, outbox
from monitor.worker.target_verdicts import isolated

# Of a notice and the incidents it reports: every channel, and whether it takes the notice.
Takers = Callable[[Notice, Iterable[tuple[str, str]]], Mapping[str, bool]]


async def write_steps(
    connection: Connection,
    steps: Sequence[IncidentStep],
    latest: Sequence[Incident],
    takers: Takers,
) -> bool:
    """Write all steps; if one cannot be written, write the others without it."""
    if not steps:
        return False
    write = partial(_written, connection, takers=takers)
    written = await isolated(connection, "incidents", partial(write, steps, latest))
    if written is not None:
        return written.news
    news, known = False, list(latest)
    for step in sorted(steps, key=lambda step: bool(step.incident and step.incident.part_of)):
        what = f"incident {step.incident.key}" if step.incident else "notice"
        one = await isolated(connection, what, partial(write, [step], known))
        if one is not None:
            news = one.news or news
            if step.incident is not None:
                number = one.numbers[step.incident.key]
                known.append(replace(step.incident, number=number))
    return news


class WrittenSteps(NamedTuple):
    """What was written. `news`: there is something to send."""

    news: bool
    numbers: Mapping[tuple[str, str], int]


async def _written(
    connection: Connection,
    steps: Sequence[IncidentStep],
    latest: Sequence[Incident],
    *,
    takers: Takers,
) -> WrittenSteps:
    """Write rows and notices; a new incident's notice gets the number that the database assigns.

    A notice is queued under the number it announces: messages of one number stay in order. A NOTICE
    has none, even if there is an incident.
    """
    changed = [step.incident for step in steps if step.incident is not None]
    numbers = await incident_rows.save(connection, changed, latest)
    news = False
    for step in steps:
        if step.notice is None:
            continue
        number = step.notice.number
        if step.incident is not None and step.notice.status is not NoticeStatus.NOTICE:
            number = number or numbers[step.incident.key]
        notice = replace(step.notice, number=number)
        reported = [numbers[key] for key in step.reported if key in numbers]
        added = await outbox.add(
            connection,
            notice,
            channels=takers(notice, step.reported),
            incident=number,
            reported=reported,
        )
        news = added or news
    return WrittenSteps(news, numbers)
