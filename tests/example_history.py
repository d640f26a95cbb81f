"""A database with a history: one target, probed by schedule, with a fallback and a gap."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from monitor.domain import Identity, Incident, Observation, Outcome, StampSource
from monitor.storage import Database, incident_rows, observations
from tests.example_data import HAIKU, LLAMA, observation

QUERIES = {"hi": 600.0, "kbli": 900.0}
FELL, GONE, FAILED, LATE = 4, 9, 5, 7  # hours ago, of each 24
HOUR = timedelta(hours=1)


def history(until: datetime, *, hours: int, every: timedelta) -> list[Observation]:
    """Rounds up to an instant; what happens in them depends on how many hours ago they were.

    In hour FELL the fallback answers, in GONE nobody asks; the first round of FAILED gets no
    answer, and that of LATE is timed badly.
    """
    rounds = int(hours * HOUR / every)
    made = []
    for number in range(rounds):
        slot = until - (rounds - number) * every
        ago = (until - slot - every) // HOUR % 24
        first = (until - slot) % HOUR == timedelta(0)
        if ago != GONE:
            made += [
                _one(slot, query, base_ms + 10.0 * (number % 7), ago=ago, first=first)
                for query, base_ms in QUERIES.items()
            ]
    return made


def _one(slot: datetime, query: str, ttft_ms: float, *, ago: int, first: bool) -> Observation:
    if ago == FAILED and first:
        return observation(
            slot=slot, started_at=slot, query=query, outcome=Outcome.TIMEOUT_FIRST_TOKEN,
            error="no answer text within 30 s", ttft_ms=None, ttft_any_ms=None, total_ms=None,
            tpot_ms=None, pieces=0, chunk_lengths=(), answer_chars=0, identity=Identity.UNKNOWN,
            model_detected=None, cost_usd=None, cost_source=None, cost_reason="no answer",
        )  # fmt: skip
    fell = ago == FELL
    ttft_ms += 1600.0 if fell else 0.0
    return observation(
        slot=slot, started_at=slot, query=query, ttft_ms=ttft_ms, ttft_any_ms=ttft_ms,
        total_ms=ttft_ms + 600, ttfb_ms=40.0, connect_ms=45.0, dns_ms=2.0, tls_ms=20.0,
        stamp=StampSource.DEGRADED if ago == LATE and first else StampSource.KERNEL,
        identity=Identity.FALLBACK if fell else Identity.EXPECTED,
        model_detected=HAIKU if fell else LLAMA,
        cost_usd=Decimal("0.00095") if fell else Decimal("0.000141"),
    )  # fmt: skip


async def seed_history(
    database: Database, *, hours: int, every: timedelta = timedelta(minutes=10)
) -> None:
    """Fill a migrated database with the history up to now, and one incident that is over."""
    now = datetime.now(UTC)
    slot = datetime.fromtimestamp(now.timestamp() // 600 * 600, UTC)
    new = history(slot, hours=hours, every=every)
    async with database.begin() as connection:
        for first in range(0, len(new), 500):
            await observations.add(connection, new[first : first + 500])
        fallen = Incident(
            rule="fallback", scope="rag", opened_at=now - timedelta(hours=3),
            last_breach_at=now - timedelta(hours=2), last_told_at=now - timedelta(hours=3),
            resolved_at=now - timedelta(hours=2), value=0.5, limit=0.1, peak=1.0,
            because="12 of 12 answers fell back.",
        )  # fmt: skip
        await incident_rows.save(connection, [fallen], [])
