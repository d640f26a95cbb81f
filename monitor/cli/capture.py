"""Answers to learn a model's looks from: asked for now, or read from recorded transcripts."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from monitor import __version__
from monitor.cli.output import progress
from monitor.cli.startup import BAD_INPUT, stop
from monitor.config import Settings
from monitor.cpu_limit import CpuLimitExceeded, limited
from monitor.dialects import dialect_of, read
from monitor.domain import Outcome, Query, Target, Transcript
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.language import SHORTEST
from monitor.identity.fingerprint.profile import ENOUGH_ANSWERS
from monitor.probing import ProbeClient, exchange, gc_paused, timing
from monitor.transcripts import recorded
from monitor.worker.fingerprinting import answer_of

FEWEST = 5  # answers to each query, however many queries there are
WAIT_S, LONGEST_S = 60.0, 120.0  # where a service that throttles us names no time; at most
WAITS = 3  # in a row for one answer
THROTTLED = (Outcome.RATE_LIMITED, Outcome.UNAVAILABLE)


def enough(queries: Sequence[Query]) -> int:
    """Answers to each query that make a good baseline: half as many again as are needed."""
    return max(FEWEST, -(-3 * ENOUGH_ANSWERS // (2 * len(queries))))


async def request_answers(
    settings: Settings, target: Target, queries: Sequence[Query], count: int
) -> dict[Query, list[AnswerText]]:
    """Ask each query so many times, in turn and one after another, as fast as the service lets us.

    What is asked here is not measured, so a throttled question is asked again.
    """
    received: dict[Query, list[AnswerText]] = {query: [] for query in queries}
    turns = [query for _ in range(count) for query in queries]
    async with ProbeClient(__version__) as wire:
        with gc_paused(), progress(len(turns)) as done:
            for query in turns:
                transcript = await _answered(target, query, wire)
                received[query] += usable(settings, target, query, transcript)
                done()
    return received


async def _answered(target: Target, query: Query, wire: ProbeClient) -> Transcript:
    dialect = dialect_of(target)
    for waited in range(WAITS + 1):
        transcript = await exchange(
            dialect.build_request(query, target), dialect=dialect, target=target, query=query,
            probe=uuid4(), http=wire, raw=False,
        )  # fmt: skip
        outcome, reason = timing.outcome(transcript, read(dialect, transcript))
        if outcome not in THROTTLED or waited == WAITS:
            break
        named = transcript.retry_after_s
        pause = min(WAIT_S if named is None else named, LONGEST_S)
        print(f"{reason}: asked again in {pause:.0f} s", file=sys.stderr, flush=True)  # noqa: T201
        await asyncio.sleep(pause)
    return transcript


def from_file(
    settings: Settings, target: Target, queries: Sequence[Query], source: Path
) -> dict[Query, list[AnswerText]]:
    """Answers of recorded transcripts to these queries.

    A transcript that does not say what was asked answers the only one of them.
    """
    try:
        with source.open(encoding="utf-8") as lines:
            transcripts = recorded(lines)
    except (OSError, ValueError) as fault:
        stop(f"{source}: {fault}", BAD_INPUT)
    if len(queries) > 1 and any(transcript.query is None for transcript in transcripts):
        stop(f"{source}: not every transcript says what was asked: say --query, for a file of "
             "answers to one query", BAD_INPUT)  # fmt: skip
    return {
        query: [
            answer
            for transcript in transcripts
            if transcript.query in (None, query.id)
            for answer in usable(settings, target, query, transcript)
        ]
        for query in queries
    }


def usable(
    settings: Settings, target: Target, query: Query, transcript: Transcript
) -> list[AnswerText]:
    """The answer of a transcript, if it is a whole one that has a manner.

    One that takes too long to read is left out.
    """

    def found() -> list[AnswerText]:
        reply = read(dialect_of(target), transcript)
        whole = timing.outcome(transcript, reply)[0] is Outcome.ANSWERED
        answer = answer_of(query, reply, settings.secrets)
        return [answer] if whole and len(answer.text.strip()) >= SHORTEST else []

    try:
        return limited(found)
    except CpuLimitExceeded:
        return []
