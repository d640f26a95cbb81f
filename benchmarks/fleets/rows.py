"""A full day of rows for every target, written by COPY, and the questions to the database."""

import os
import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg

from benchmarks.fleets.service import MODEL, TTFT_S
from benchmarks.seeding import plain

BLOCK_SLOTS = 20  # slots in one COPY: a transaction of moderate size
COLUMNS = """
    id, slot, target, started_at, recorded_at, ttft_ms, ttft_any_ms, total_ms,
    query, origin, region, worker, outcome, http_status, dialect, instrument, config_hash, stamp,
    lag_ms, connect_ms, ttfb_ms, tpot_ms, pieces, chunk_lengths, answer_chars, answer_sha256,
    answer_excerpt, prompt_tokens, answer_tokens, model_disclosed, model_detected, identity,
    confidence, identity_reason, evidence, claims, cost_usd, cost_source, rates, faults, finish,
    source_count, source_best_score, check_passed
"""
CLAIM = f'[{{"kind": "field", "value": "{MODEL}", "source": "model"}}]'
EVIDENCE = f'[{{"kind": "field", "nats": -4.6, "claim": "{MODEL}", "detail": "model"}}]'
RATES = f'{{"input": "0.20", "output": "0.20", "model": "{MODEL}", "source": "operators"}}'
# What all rows have in common, from `query` on.
SAME = "\t".join((
    "hi", "round", "local", "seed", "answered", "200", "openai_chat", "1", "0123456789ab", "kernel",
    "0.1", "1.2", "3.5", "30", "6", "{5,5,5,5,5,5}", "30", "f" * 64,
    "word word word word word word", "690", "6", MODEL, MODEL, "expected",
    "0.98", "the response names its model", EVIDENCE, CLAIM, "0.000139", "reported", RATES, "{}",
    "stop", "5", "0.8", "t",
))  # fmt: skip


def seed_day(
    url: str, due: Mapping[str, timedelta], every: timedelta, *, first: datetime, until: datetime
) -> int:
    """Rounds and observations of the slots from `first` to before `until`; how many of each.

    `due`: how long after its slot each target is probed.
    """
    slots = int((until - first) / every)
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        months = sorted({(first + every * n).date().replace(day=1) for n in range(slots)})
        for month in months:
            connection.execute("SELECT make_month(%s)", (month,))
        for block in range(0, slots, BLOCK_SLOTS):
            times = [first + every * n for n in range(block, min(block + BLOCK_SLOTS, slots))]
            _copy(connection, f"COPY observations ({COLUMNS}) FROM STDIN", _probes(times, due))
            rounds = "target, region, slot, worker, claimed_at, finished_at"
            _copy(connection, f"COPY slots ({rounds}) FROM STDIN", _rounds(times, due))
        # As hours later: until a vacuum, an index of ranges (BRIN) knows nothing of new pages.
        connection.execute("VACUUM (ANALYZE)")
    return slots * len(due)


def _copy(connection: psycopg.Connection[Any], statement: str, lines: Iterator[str]) -> None:
    with connection.cursor().copy(statement.encode()) as copy:
        for line in lines:
            copy.write(line)


def _probes(times: list[datetime], due: Mapping[str, timedelta]) -> Iterator[str]:
    delays = random.Random(times[0].timestamp())
    low, high = (1000 * bound for bound in TTFT_S)
    for slot in times:
        for target, after in due.items():
            ttft, at = delays.uniform(low, high), slot + after
            yield (
                f"{os.urandom(16).hex()}\t{slot}\t{target}\t{at}\t{at + timedelta(seconds=1)}\t"
                f"{ttft:.3f}\t{ttft:.3f}\t{ttft + 150:.3f}\t{SAME}\n"
            )


def _rounds(times: list[datetime], due: Mapping[str, timedelta]) -> Iterator[str]:
    for slot in times:
        for target, after in due.items():
            yield f"{target}\tlocal\t{slot}\tseed\t{slot + after}\t{slot + after}\n"


def asked(url: str, statement: LiteralString, **given: object) -> list[tuple[Any, ...]]:
    """The rows of one question, from a connection of its own."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        return connection.execute(statement, given).fetchall()


def size(url: str) -> int:
    """Bytes of the whole database."""
    return int(asked(url, "SELECT pg_database_size(current_database())")[0][0])
