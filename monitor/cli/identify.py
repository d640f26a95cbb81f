"""`monitor identify`: reads a text or recorded transcripts, prints the model and the evidence.

Input is plain text (one answer), or JSON Lines: transcripts as `monitor probe --record` writes
them, or objects with `text` and optionally `query`. Writing style is compared with the target's
baseline if the query is known, from the line or `--query`; answers are then followed in order.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from monitor import identity
from monitor.cli.baseline import chosen_target, in_database
from monitor.cli.startup import BAD_INPUT, configuration, stop
from monitor.config import Settings
from monitor.cpu_limit import CpuLimitExceeded, limited
from monitor.dialects import dialect_of, read
from monitor.domain import (
    UNCERTAIN,
    Identity,
    IdentityJudgement,
    Query,
    Reply,
    Target,
    TextDelta,
    certainty_text,
    confidence_text,
    log_odds,
)
from monitor.identity import AnswerEvidence, IdentityContext
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.identity.learning import LearntProfile, ProfileKey, StyleHistory
from monitor.redaction import plain
from monitor.storage import Database, baseline_answers, fingerprints
from monitor.transcripts import recorded
from monitor.worker.identity_memory import profiled
from monitor.worker.probe_round import EXCEEDED, answer_of


@dataclass(frozen=True, slots=True)
class AnswerToIdentify:
    """One answer and its query, if it is known."""

    reply: Reply
    query: Query | None


def identify(source: Path | None, *, target: str | None, query: str | None, as_lines: bool) -> None:
    """Print one judgement for each answer in a file, or on standard input."""
    settings = configuration(without_secrets=True)
    chosen = chosen_target(settings, target)
    try:
        text = source.read_text(encoding="utf-8") if source else sys.stdin.read()
        received = list(_parsed_answers(text, chosen, _query(chosen, query)))
    except (OSError, ValueError) as fault:
        stop(f"{source or 'standard input'}: {fault}", BAD_INPUT)
    if not received:
        stop("it contains no answer", BAD_INPUT)
    known = any(item.query for item in received)
    if not known and len(chosen.queries) > 1:
        known_ids = ", ".join(item.id for item in chosen.queries)
        missing = (
            "The input does not say which canned query was answered, so writing style is not "
            f"compared. Pass --query with one of {known_ids}"
        )
        print(missing, file=sys.stderr)  # noqa: T201
    for who in _judged(settings, chosen, received, _style(settings, chosen) if known else None):
        print(json.dumps(asdict(who)) if as_lines else _shown(who))  # noqa: T201


def _query(target: Target, name: str | None) -> Query | None:
    """The canned query with that id. Raises ValueError with the known ids."""
    if name is None:
        return None
    for query in target.queries:
        if query.id == name:
            return query
    known = ", ".join(query.id for query in target.queries)
    raise ValueError(f'target "{target.name}" has no query "{name}"; known: {known}')


def _parsed_answers(text: str, target: Target, query: Query | None) -> Iterator[AnswerToIdentify]:
    lines = [line for line in text.splitlines() if line.strip()]
    first = _object(lines[0]) if lines else None
    if first is None:
        if text.strip():
            yield AnswerToIdentify(
                Reply(pieces=(TextDelta(0, text=text.strip()),), ended=True), query
            )
    elif "text" in first:
        for number, line in enumerate(lines, 1):
            match _object(line):
                case {"text": str(message), **rest}:
                    named = rest.get("query")
                case _:
                    raise ValueError(f'line {number} has no "text"')
            own = _query(target, named) if isinstance(named, str) else query
            yield AnswerToIdentify(Reply(pieces=(TextDelta(0, text=message),), ended=True), own)
    else:
        dialect = dialect_of(target)
        for transcript in recorded(lines):
            own = query or _query(target, transcript.query)
            yield AnswerToIdentify(read(dialect, transcript), own)


def _object(line: str) -> dict[str, object] | None:
    try:
        reported = json.loads(line)
    except ValueError:
        return None
    return reported if isinstance(reported, dict) else None


def _style(settings: Settings, target: Target) -> StyleHistory | None:
    """The target's baseline, followed from these answers on; None if there is none."""

    async def load(database: Database) -> StyleHistory | None:
        async with database.begin() as connection:
            state = await fingerprints.state(connection, target.name)
            if state is None:
                return None
            answers = await baseline_answers.answers(connection, state.epoch, target.queries)
        profile, _ = profiled(state.epoch, answers)
        number = state.epoch.number
        learnt = LearntProfile(key=ProfileKey(number, None, target.queries), profile=profile)
        return StyleHistory(learnt=learnt, track=TrackerState(epoch=number)) if profile else None

    return in_database(settings, load)


def _judged(
    settings: Settings,
    target: Target,
    received: Sequence[AnswerToIdentify],
    style: StyleHistory | None,
) -> Iterator[IdentityJudgement]:
    identity.prepare()
    for item in received:
        try:
            answer = None
            if style and item.query:
                answer = answer_of(item.query, item.reply, settings.secrets)
            said = AnswerEvidence(
                at=datetime.now(UTC),
                claims=item.reply.claims,
                pieces=item.reply.final_pieces,
                query=item.query,
                answer=answer,
            )
            judged = limited(identity.judge, said, target, IdentityContext(style=style))
            if style and judged.step:
                style = replace(style, track=judged.step.track)
            yield judged.judgement
        except CpuLimitExceeded:
            yield IdentityJudgement(Identity.UNKNOWN, None, 0.0, (), EXCEEDED)


def _weight(nats: float) -> str:
    """The log-odds of one item alone, from even odds."""
    if not nats:
        return "no weight"
    side = "another model" if nats > 0 else "the expected model"
    return f"{confidence_text(abs(nats))} for {side}"


def _shown(who: IdentityJudgement) -> str:
    model = who.model or "model not identified"
    sure = certainty_text(log_odds(who.confidence)) if who.confidence else UNCERTAIN
    lines = [
        f"{who.identity}: {model}, {sure}",
        f"  {plain(who.reason)}",
    ]
    lines += [
        f"  {item.kind} {plain(item.claim, 80)} {_weight(item.nats)}: {plain(item.detail)}"
        for item in who.evidence
    ]
    return "\n".join(lines)
