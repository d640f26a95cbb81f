"""What must hold after any number of kills, pauses and outages, from the database and from Slack.

Nothing here knows how a worker works: it compares what the service, Slack and the database saw.
"""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from benchmarks.kills.stage import Asked, Life, Team

AGAIN = "You may see this message twice"
NUMBER = re.compile(r"#(\d+) ")
LEASE = timedelta(minutes=3)  # no lease of a running worker may end later
IN_FLIGHT_S = 10.0  # an answer read so shortly before a kill may be lost with it
BAD_LINES = ("Traceback (most recent call last)", '"message": "job failed"', "job failed")


@dataclass(slots=True)
class Findings:
    """`broken`: each invariant that does not hold, with an example. `figures`: for the table."""

    broken: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds."""

    observations: Sequence[tuple[Any, ...]]  # id, target, query, slot, origin, started_at
    slots: Sequence[tuple[Any, ...]]  # target, slot, claimed_at, finished_at, missed
    incidents: Sequence[tuple[Any, ...]]  # number, rule, target, resolved_at, reopenings
    outbox: Sequence[tuple[Any, ...]]  # sequence, incident, status, result, settled_at, maybe_sent
    leases: Sequence[tuple[Any, ...]]  # name, holder, seconds from now until its end


def stored(url: str) -> Stored:
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain) as connection:

        def rows(statement: str) -> Sequence[tuple[Any, ...]]:
            return connection.execute(statement).fetchall()

        return Stored(
            rows("SELECT id, target, query, slot, origin, started_at FROM observations"),
            rows("SELECT target, slot, claimed_at, finished_at, missed FROM slots"),
            rows("SELECT number, rule, target, resolved_at, reopenings FROM incidents"),
            rows("SELECT sequence, incident, status, result, settled_at, maybe_sent FROM outbox "
                 "ORDER BY sequence"),
            rows("SELECT name, holder, extract(epoch FROM until - clock_timestamp()) FROM leases"),
        )  # fmt: skip


def judged(
    team: Team, url: str, *, every_s: float, began: float, ended: float, outages: bool
) -> Findings:
    """Everything that must hold at the end of a run, when all is well again.

    `outages`: the database was away at times.
    """
    held, findings = stored(url), Findings()
    findings.figures = {
        "slots": len(held.slots),
        "missed": sum(bool(row[4]) for row in held.slots),
        "rows": len(held.observations),
        "incidents": len(held.incidents),
        "kills": sum(life.killed is not None for life in team.lives),
        "pauses": sum(len(life.pauses) for life in team.lives),
    }
    findings.broken += doubled(held)
    findings.broken += lost(team, held, every_s, findings.figures, outages=outages)
    findings.broken += unserved(team, held, every_s, began, ended, findings.figures)
    findings.broken += messages(team, held, findings.figures)
    findings.broken += unsettled(held)
    findings.broken += logged(team.lives)
    return findings


def doubled(held: Stored) -> Iterator[str]:
    """One row for each slot and query."""
    rounds = Counter(tuple(row[1:4]) for row in held.observations if row[4] == "round")
    for key, count in rounds.items():
        if count > 1:
            yield f"{count} rows of one slot and query: {key}"
    for number, count in Counter(row[0] for row in held.observations).items():
        if count > 1:
            yield f"an observation is stored {count} times: {number}"


def lost(
    team: Team, held: Stored, every_s: float, figures: dict[str, float], *, outages: bool
) -> Iterator[str]:
    """Every answer that was read is stored, but for what was in flight when its worker died.

    Without the database nobody knows who probes a slot: then two workers may, and one row is kept.
    """
    have = {row[0] for row in held.observations}
    lives = {life.tag: life for life in team.lives}
    rounds = [row for row in held.observations if row[4] == "round"]
    kept = {(row[1], row[3].timestamp()) for row in rounds}
    phases = _phases(held)
    in_flight = twice = 0
    for asked in team.service.asked:
        if asked.id in have:
            continue
        life = lives[asked.tag]
        if asked.done_at is None or _in_flight(asked, life):
            in_flight += 1
        elif (asked.target, _slot(asked, every_s, phases)) in kept:
            twice += 1
        else:
            after = (life.killed or time.time()) - asked.done_at
            yield (
                f"an answer is lost: {asked.target} by {asked.tag}, read {after:.1f} s before "
                f"{'it was killed' if life.killed else 'the end'}"
            )
    figures |= {"probes": len(team.service.asked), "lost in flight": in_flight, "twice": twice}
    if twice and not outages:
        yield f"{twice} slots were probed twice, although the database was there"


def _phases(held: Stored) -> dict[str, float]:
    """How long after its slot the rounds of each target begin, s."""
    phases: dict[str, float] = {}
    for _, target, _, slot, origin, started_at in held.observations:
        if origin == "round":
            after = (started_at - slot).total_seconds()
            phases[target] = min(phases.get(target, after), after)
    return phases


def _slot(asked: Asked, every_s: float, phases: dict[str, float]) -> float:
    """The slot of a probe, by when the rounds of its target begin."""
    return (asked.at - phases.get(asked.target, 0.0) + 0.05) // every_s * every_s


def _in_flight(asked: Asked, life: Life) -> bool:
    assert asked.done_at is not None
    if life.killed is None:
        return False
    paused = sum(
        max(0.0, min(end, life.killed) - max(begin, asked.done_at)) for begin, end in life.pauses
    )
    return life.killed - asked.done_at - paused < IN_FLIGHT_S


def unserved(
    team: Team, held: Stored, every_s: float, began: float, ended: float, figures: dict[str, float]
) -> Iterator[str]:
    """Every slot that is due while a worker runs is probed, or recorded as missed. `late` counts
    those for which this took an interval longer than the interval in which a round begins.
    """
    served: dict[tuple[str, float], float] = {}
    for target, slot, claimed_at, _, _ in held.slots:
        served[target, slot.timestamp()] = claimed_at.timestamp()
    for _, target, _, slot, origin, started_at in held.observations:
        key = target, slot.timestamp()
        if origin == "round":
            served[key] = min(served.get(key, ended), started_at.timestamp())
    phases = _phases(held)
    for asked in team.service.asked:  # without the database nobody records who took a slot
        key = asked.target, _slot(asked, every_s, phases)
        served[key] = min(served.get(key, ended), asked.at)
    targets = sorted({row[0] for row in held.slots})
    figures["targets"] = len(targets)
    due = never = late = 0
    worst, example = 0.0, ""
    first = began // every_s * every_s + every_s
    for nth in range(int((ended - first) / every_s) - 2):
        slot = first + nth * every_s
        if not _covered(team.lives, slot, slot + 2 * every_s):
            continue
        for target in targets:
            due += 1
            after = served.get((target, slot))
            if after is None:
                never += 1
                example = example or f"{target} at {datetime.fromtimestamp(slot, UTC):%H:%M:%S}"
            else:
                late += after - slot > 2 * every_s
                worst = max(worst, after - slot)
    figures["due"] = due
    figures["late"] = late
    figures["latest, s"] = round(worst, 1)
    if never:
        yield f"{never} of {due} slots were neither probed nor recorded as missed, first {example}"


def _covered(lives: Sequence[Life], since: float, until: float) -> bool:
    """Whether at least one process ran at every moment."""
    reached = since
    for begin, end in sorted(stretch for life in lives for stretch in _running(life)):
        if begin > reached:
            return False
        reached = max(reached, end)
        if reached >= until:
            return True
    return False


def _running(life: Life) -> Iterator[tuple[float, float]]:
    """When a process ran."""
    begin = life.ready
    if begin is None:
        return
    for paused, on in life.pauses:
        yield begin, paused
        begin = on
    yield begin, life.killed or life.ended or time.time()


def messages(team: Team, held: Stored, figures: dict[str, float]) -> Iterator[str]:
    """One message an incident, repeated ones marked; each news once; order kept."""
    posted: dict[int, list[str]] = defaultdict(list)
    copies = 0
    for message in team.inbox.messages:
        if found := NUMBER.search(message.text):
            posted[int(found[1])].append(" ".join((message.text, *message.was)))
    rows: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in held.outbox:
        if row[1] is not None and row[3] == "sent":
            rows[row[1]].append(row)
    for number, _, _, _, reopenings in held.incidents:
        first = [text for text in posted[number] if AGAIN not in text]
        copies += len(posted[number]) - len(first)
        maybe = sum(bool(row[5]) for row in rows[number])
        if len(first) > 1 + reopenings:
            yield f"{len(first)} messages of incident {number}, reopened {reopenings} times"
        if not posted[number] and rows[number]:
            yield f"no message of incident {number}, although {len(rows[number])} were sent"
        if len(posted[number]) - len(first) > maybe:
            yield f"incident {number} has repeated messages that no row marks"
    yield from _overtaken(team, rows)
    figures["messages"] = sum(map(len, posted.values()))
    figures["marked repeats"] = copies


def _overtaken(team: Team, rows: dict[int, list[tuple[Any, ...]]]) -> Iterator[str]:
    """The order in which Slack heard of each incident is that of the outbox."""
    heard: dict[int, list[str]] = defaultdict(list)
    for request in team.inbox.requests:
        metadata = request.payload.get("metadata")
        if request.refused or not isinstance(metadata, dict):
            continue
        payload = metadata.get("event_payload", {})
        number, status = payload.get("number"), payload.get("status")
        if number is not None and (not heard[number] or heard[number][-1] != status):
            heard[number].append(status)
    for number, found in rows.items():
        written = [status for nth, status in enumerate(row[2] for row in found)]
        wanted = [s for nth, s in enumerate(written) if not nth or written[nth - 1] != s]
        # A repeat after a lost reply says the latest status again, which `heard` merges.
        if _without_repeats(heard[number]) != _without_repeats(wanted):
            yield f"incident {number} was told as {heard[number]}, and written as {wanted}"


def _without_repeats(statuses: Sequence[str]) -> list[str]:
    return [status for nth, status in enumerate(statuses) if not nth or statuses[nth - 1] != status]


def unsettled(held: Stored) -> Iterator[str]:
    """At the end nothing waits, nothing is open, and no lease outlives its holder."""
    waiting = [row for row in held.outbox if row[4] is None]
    if waiting:
        yield f"{len(waiting)} notices were never settled: {waiting[0]}"
    undelivered = [row for row in held.outbox if row[3] not in ("sent", "closed", "merged", None)]
    if undelivered:
        yield f"{len(undelivered)} notices were given up: {undelivered[0]}"
    opened = [row for row in held.incidents if row[3] is None]
    if opened:
        yield f"{len(opened)} incidents never ended: {opened[0]}"
    for name, holder, left_s in held.leases:
        if float(left_s) > LEASE.total_seconds():
            yield f"lease {name} of {holder} ends in {float(left_s):.0f} s"


def logged(lives: Sequence[Life]) -> Iterator[str]:
    """No job fails, no traceback; a clean stop ends with status 0."""
    for life in lives:
        text = life.text()
        for bad in BAD_LINES:
            if bad in text:
                place = text.index(bad)
                yield f"{life.tag} logged {text[place : place + 600]!r}"
                break
        if life.killed is None and life.ended is not None and life.status:
            yield f"{life.tag} ended with status {life.status}: {text[-600:]!r}"
