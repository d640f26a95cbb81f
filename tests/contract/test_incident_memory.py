"""The latest incidents in memory: as they are stored, whoever wrote them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import event, text

from monitor.domain import Finding, Incident, NoticeStatus
from monitor.storage import Connection, Database, incident_rows
from monitor.worker.incident_memory import IncidentMemory

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def incident(scope: str, *, rule: str = "down", **more: object) -> Incident:
    begun = Incident(
        rule=rule, scope=scope, opened_at=AT, last_breach_at=AT, last_told_at=AT, since=AT,
        value=5.0, limit=5.0, because="It fails.", finding=Finding(what="fails"),
    )  # fmt: skip
    return replace(begun, **more)  # type: ignore[arg-type]


async def act(connection: Connection, random: Random, known: tuple[Incident, ...]) -> None:
    """What an evaluation, a delivery or a person writes."""
    one = random.choice(known) if known else None
    match random.choice(["new", "new", "part", "change", "end", "told", "answer", "undo"]):
        case "new":
            await incident_rows.save(connection, [incident(f"t{random.random()}")], known)
        case "part" if one is not None and one.part_of is None:
            part = incident(f"t{random.random()}", part_of=one.key)
            await incident_rows.save(connection, [part], known)
        case "change" if one is not None:
            await incident_rows.save(connection, [replace(one, value=random.random())], known)
        case "end" if one is not None and one.open:
            over = replace(one, resolved_at=AT + MINUTE, told=NoticeStatus.RESOLVED)
            await incident_rows.save(connection, [over], known)
        case "told" if one is not None:
            told = text("UPDATE incidents SET told_at = now() WHERE number = :number")
            await connection.execute(told, {"number": one.number})
        case "answer" if one is not None:
            answer = text(
                "INSERT INTO incident_actions (incident, action, nth, channel, actor, name, at) "
                "VALUES (:number, 'acknowledge', :nth, 'slack', 'U1', 'Ann', now())"
            )
            values = {"number": one.announced_as or one.number, "nth": random.randrange(2**30)}
            await connection.execute(answer, values)
        case "undo":
            await connection.execute(text("UPDATE incident_actions SET undone_at = now()"))


@pytest.mark.parametrize("seed", range(3))
async def test_it_knows_what_is_stored(database: Database, seed: int) -> None:
    random, memory = Random(seed), IncidentMemory()
    known: tuple[Incident, ...] = ()
    for _ in range(40):
        try:
            async with database.begin() as connection:
                await act(connection, random, known)
                if random.random() < 0.2:
                    await memory.latest(connection)
                    raise KeyError  # an evaluation that fails has read what is rolled back
        except KeyError:
            pass
        async with database.begin() as connection:
            known = await memory.latest(connection)
            assert known == await IncidentMemory().latest(connection)


async def test_only_what_was_written_since_is_read_again(database: Database) -> None:
    memory, parameters = IncidentMemory(), []
    async with database.begin() as connection:
        await incident_rows.save(connection, [incident(f"t{n}") for n in range(30)], [])
        known = await memory.latest(connection)
    assert [one.number for one in known] == sorted(one.number or 0 for one in known)
    async with database.begin() as connection:
        event.listen(database.engine.sync_engine, "before_cursor_execute",
                     lambda *given: parameters.append(given[3]))  # fmt: skip
        assert await memory.latest(connection) == known
        assert len(parameters) == 1
        await incident_rows.save(connection, [replace(known[3], value=1.0)], known)
        parameters.clear()
        changed = await memory.latest(connection)
    assert [one.value for one in changed] == [1.0 if n == 3 else 5.0 for n in range(30)]
    assert [known[3].number] in list(parameters[1].values())


async def test_leaders_and_parts_of_one_evaluation_get_their_numbers(database: Database) -> None:
    """Parts are written after their leaders, in few statements."""
    leader, statements = incident("t0"), []
    parts = [incident(f"t{n}", part_of=leader.key) for n in range(1, 60)]
    event.listen(database.engine.sync_engine, "before_cursor_execute",
                 lambda *given: statements.append(given[2]))  # fmt: skip
    async with database.begin() as connection:
        numbers = await incident_rows.save(connection, [*parts, leader], [])
        known = await IncidentMemory().latest(connection)
    assert {one.key: one.number for one in known} == numbers
    assert {one.part_of for one in known} == {None, leader.key}
    assert {one.announced_as for one in known} == {None, numbers[leader.key]}
    assert sum("INSERT INTO incidents" in statement for statement in statements) == 2
