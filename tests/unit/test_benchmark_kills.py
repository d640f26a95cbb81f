"""The rig of `benchmarks/kills` finds what it looks for, and names the steps of a worker."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from benchmarks.kills.edge import HttpSteps, Points, PostgresSteps
from benchmarks.kills.findings import (
    Stored,
    doubled,
    logged,
    lost,
    messages,
    unserved,
    unsettled,
)
from benchmarks.kills.stage import Asked, Life

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW = AT.timestamp()
NOTHING = Stored((), (), (), (), ())


def row(number: int, *, slot: datetime = AT) -> tuple[Any, ...]:
    return UUID(int=number), "t1", "hi", slot, "round", slot + timedelta(seconds=0.1)


def life(log: Path = Path("nowhere"), **changes: Any) -> Life:
    return Life(1, "w1.1", 1, log, NOW - 60, ready=NOW - 60, **changes)


def team(
    *asked: Asked, told: tuple[Any, ...] = (), requests: tuple[Any, ...] = (), **of: Any
) -> Any:
    return SimpleNamespace(
        lives=[life(**of)],
        service=SimpleNamespace(asked=asked),
        inbox=SimpleNamespace(messages=told, requests=requests),
    )


def asked(number: int, after_s: float = 0.1) -> Asked:
    return Asked(UUID(int=number), "t1", "w1.1", NOW + after_s, NOW + after_s + 0.2)


def test_two_rows_of_one_slot_are_found() -> None:
    assert list(doubled(Stored((row(1),), (), (), (), ()))) == []
    [found] = doubled(Stored((row(1), row(2)), (), (), (), ()))
    assert found.startswith("2 rows of one slot and query")


def test_an_answer_is_lost_unless_it_is_stored_or_was_in_flight() -> None:
    held = Stored((row(1),), (), (), (), ())
    figures: dict[str, float] = {}

    def found(one: Any, *, outages: bool = False) -> list[str]:
        return list(lost(one, held, 10, figures, outages=outages))

    assert found(team(asked(1), killed=NOW + 99)) == []
    assert found(team(asked(9, 12), killed=NOW + 13)) == []
    assert figures["lost in flight"] == 1
    [gone] = found(team(asked(9, 12), killed=NOW + 99))
    assert gone.startswith("an answer is lost: t1 by w1.1, read 86.8 s before it was killed")
    [twice] = found(team(asked(1), asked(2, 0.3), killed=NOW + 99))
    assert twice == "1 slots were probed twice, although the database was there"
    assert found(team(asked(1), asked(2, 0.3), killed=NOW + 99), outages=True) == []


def test_a_slot_that_nobody_took_while_a_worker_ran_is_found() -> None:
    slots = tuple(("t1", AT + timedelta(seconds=n), AT, AT, None) for n in range(0, 100, 10))
    figures: dict[str, float] = {}

    def found(taken: Any, **of: Any) -> list[str]:
        held = Stored((), taken, (), (), ())
        return list(unserved(team(**of), held, 10, NOW - 1, NOW + 100, figures))

    assert found(slots) == []
    assert figures["due"] == 8
    without = slots[:3] + slots[4:]
    assert found(without) == ["1 of 8 slots were neither probed nor recorded as missed, "
                              "first t1 at 12:00:30"]  # fmt: skip
    assert found(without, killed=NOW + 35) == []
    assert found(without, pauses=[(NOW + 35, NOW + 45)]) == []


def message(text: str) -> Any:
    return SimpleNamespace(text=text, was=[])


def request(status: str) -> Any:
    payload = {"metadata": {"event_payload": {"number": 1, "status": status}}}
    return SimpleNamespace(payload=payload, refused=None)


def test_a_message_too_many_and_news_out_of_order_are_found() -> None:
    sent = ((1, 1, "FIRING", "sent", AT, False), (2, 1, "RESOLVED", "sent", AT, False))
    held = Stored((), (), ((1, "down", "t1", AT, 0),), sent, ())
    one, again = message("FIRING #1 down"), message("FIRING #1 down You may see this message twice")
    order = request("FIRING"), request("RESOLVED")

    def found(*told: Any, requests: Any = order, stored: Stored = held) -> list[str]:
        return list(messages(team(told=told, requests=requests), stored, {}))

    assert found(one) == []
    assert found(one, one) == ["2 messages of incident 1, reopened 0 times"]
    assert found(one, again) == ["incident 1 has repeated messages that no row marks"]
    maybe = Stored((), (), held.incidents, ((*sent[0][:5], True), sent[1]), ())
    assert found(one, again, stored=maybe) == []
    assert found() == ["no message of incident 1, although 2 were sent"]
    assert len(found(one, requests=order[::-1])) == 1


def test_what_is_open_or_waits_in_the_end_is_found() -> None:
    assert list(unsettled(NOTHING)) == []
    waits = Stored((), (), (), ((1, 1, "FIRING", None, None, False),), ())
    opened = Stored((), (), ((1, "down", "t1", None, 0),), (), ())
    ahead = Stored((), (), (), (), (("evaluate", "w1", 86_400.0),))
    assert [len(list(unsettled(held))) for held in (waits, opened, ahead)] == [1, 1, 1]


def test_a_traceback_and_a_bad_status_are_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("all is well")
    assert list(logged([life(log, ended=NOW, status=0)])) == []
    assert len(list(logged([life(log, ended=NOW, status=1)]))) == 1
    log.write_text('{"exception": "Traceback (most recent call last): ..."}')
    assert len(list(logged([life(log, killed=NOW)]))) == 1


def frame(kind: bytes, content: bytes) -> bytes:
    return kind + (len(content) + 4).to_bytes(4) + content


def parse(statement: str, name: str = "") -> bytes:
    return frame(b"P", f"{name}\0{statement}\0".encode() + b"\0\0")


def bind(name: str = "") -> bytes:
    return frame(b"B", f"\0{name}\0".encode() + b"\0" * 6)


def test_statements_are_named_however_they_arrive() -> None:
    start = (8).to_bytes(4) + (80877103).to_bytes(4) + (8).to_bytes(4) + (196608).to_bytes(4)
    sent = start + b"".join((
        frame(b"Q", b"BEGIN\0"),
        parse("INSERT INTO slots (a) VALUES ($1) ON CONFLICT DO UPDATE SET a = 1"), bind(),
        parse("SELECT 1 FROM leases FOR UPDATE SKIP LOCKED", "p1"), bind("p1"), bind("p1"),
        frame(b"Q", b"UPDATE outbox SET x = 1\0"), frame(b"S", b""),
        frame(b"Q", b"COMMIT\0"),
        frame(b"Q", b"BEGIN\0"), frame(b"Q", b"COMMIT\0"),
    ))  # fmt: skip
    wanted = ["insert slots", "select leases", "select leases", "update outbox",
              "commit of insert slots, update outbox"]  # fmt: skip
    for size in (1, 7, len(sent)):
        steps = PostgresSteps()
        cut = [one for at in range(0, len(sent), size) for one in steps.cut(sent[at : at + size])]
        assert b"".join(piece for piece, _ in cut) == sent
        assert [name for _, name in cut if name] == wanted


def test_requests_are_named_by_their_path() -> None:
    [(_, name)] = HttpSteps("slack").cut(b"POST /api/chat.postMessage HTTP/1.1\r\n\r\n")
    assert name == "slack chat.postMessage"
    assert [name for _, name in HttpSteps("slack").cut(b'{"text": "a body"}')] == [None]


def test_one_worker_dies_at_an_armed_step() -> None:
    points = Points()
    points.arm("a", "after")
    assert [points.reached(name) for name in ("b", "a", "a")] == [None, "after", None]
    assert points.seen == {"a": 2, "b": 1}
