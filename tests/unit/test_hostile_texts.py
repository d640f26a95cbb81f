"""No text that a service may send takes long to read: CPU time, not the clock on the wall."""

import gc
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from monitor.dialects import DIALECTS, USUAL_TAGS, parse_event
from monitor.dialects.reasoning_tags import ReasoningTags
from monitor.domain import (
    Claim,
    ClaimKind,
    Dialect,
    Ending,
    Reply,
    StreamEvent,
    TextDelta,
    Transcript,
)
from monitor.identity.claims import answer_switch
from monitor.identity.fingerprint import features
from monitor.identity.fingerprint.features import AnswerText, answer_features
from monitor.identity.judge import judge_disclosure
from monitor.identity.model_names.compare import parse, same
from monitor.identity.self_identification.detector import asks_for_model, self_claims
from monitor.identity.token_counts import counts
from monitor.probing.http_message import ChunkedBody
from monitor.probing.limits import ProbeError, TooLarge
from monitor.probing.stream_reader import NdjsonParser, SseParser
from monitor.probing.timing import outcome
from monitor.redaction import plain, redact, storable
from tests.hostile_shapes import generated, large

LIMIT_MS = 50
TRIES = 20
SHAPES = large()
WORD = re.compile(r"[A-Za-z']+")
KNOWN_TEXT = "I'm a helpful model, and so on. " * 8_000
KNOWN_MS = 7.0  # CPU time of all its words on an ordinary core
SECRETS = ("Bearer sk-live-0123456789", "hunter2-hunter2")


def pieces(text: str, size: int = 100) -> list[TextDelta]:
    """The text as it streams, with a pause in the middle."""
    cuts = range(0, len(text), size)
    half = len(text) // 2
    return [TextDelta(at * 1_000_000 + (at > half) * 10**12, text[at : at + size]) for at in cuts]


def test_the_answer_that_hung_the_worker_is_read_at_once() -> None:
    text = "also " * 40 + "zzz I'm Claude, made by Anthropic."
    assert cpu_ms(self_claims, text) < 1_000
    assert not self_claims(text)


def judged(text: str) -> object:
    claims = [Claim(kind, "model", text) for kind in (ClaimKind.HEADER, ClaimKind.FIELD)]
    return judge_disclosure(claims, expected=("llama-4-scout",), fallbacks=("claude-haiku-4-5",),
                 pieces=pieces(text, 4_000))  # fmt: skip


def refused(text: str) -> object:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    transcript = Transcript(id=UUID(int=1), started_at=at, started_ns=0, ended_ns=1, status=500,
                            ending=Ending.STATUS, body=text, detail=text)  # fmt: skip
    return outcome(transcript, Reply())


def fed(reader: SseParser | NdjsonParser | ChunkedBody, text: str) -> None:
    with suppress(TooLarge, ProbeError):
        for at in range(0, len(text), 16_000):
            reader.feed(text[at : at + 16_000].encode(errors="replace"))


def separate(text: str, *before: str) -> None:
    """A text at the start of an answer, and behind each of these."""
    for begin in ("", *before):
        tags = ReasoningTags(USUAL_TAGS)
        tags.add(begin + text[: len(text) // 2])
        tags.add(text[len(text) // 2 :])


FUNCTIONS: dict[str, Callable[[str], Any]] = {
    "claimed": self_claims,
    "asks_who": asks_for_model,
    "parse": parse,
    "same": lambda text: same(text, "claude-3-5-haiku"),
    "switched": lambda text: answer_switch(pieces(text)),
    "judge": judged,
    "features": lambda text: answer_features(AnswerText("hi", text)),
    "language": features.language,
    "refuses": features.refuses,
    "unfit": lambda text: features.unsuitable(text, refusing=False),
    "other language": lambda text: features.other_language(text, usual="english"),
    "token shape": counts.shape,
    "plain": plain,
    "storable": storable,
    "redact": lambda text: redact(text, SECRETS),
    "outcome": refused,
    "thoughts": lambda text: separate(text, "<think>", "</think>", "<|channel|>"),
    "server-sent events": lambda text: fed(SseParser(), text),
    "lines": lambda text: fed(NdjsonParser(), text),
    "chunks": lambda text: fed(ChunkedBody(), "10;" + text.replace("\n", " ")),
    **{
        f"dialect {name}": lambda text, dialect=dialect: parse_event(dialect, StreamEvent(0, text))
        for name, dialect in DIALECTS.items()
        if isinstance(dialect, Dialect)
    },
}


def cpu_ms(function: Callable[[str], Any], text: str) -> float:
    """CPU time of this thread, without garbage collections, which other tests' objects slow."""
    gc.disable()
    began = time.thread_time()
    function(text)
    spent = time.thread_time() - began
    gc.enable()
    return spent * 1e3


def takes_too_long(function: Callable[[str], Any], text: str) -> float | None:
    """The least CPU time of many tries in ms, as on a machine of ordinary speed, if over the limit.

    Caches and cores are shared: on a busy machine CPU time, too, is several times what it is on
    an idle one. A search of known cost beside each try says how slow the core is right then. One
    try within the limit is enough, for nothing makes a function faster than it is.
    """
    least = cpu_ms(function, text)
    for _ in range(TRIES):
        if least < LIMIT_MS:
            return None
        slowness = max(1.0, cpu_ms(_known, KNOWN_TEXT) / KNOWN_MS)
        least = min(least, cpu_ms(function, text) / slowness)
    return least if least >= LIMIT_MS else None


def _known(text: str) -> None:
    for _ in WORD.finditer(text):
        pass


@pytest.mark.search
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_hostile_shape_of_256_kib_takes_50_ms(name: str) -> None:
    function = FUNCTIONS[name]
    function("I'm Claude, made by Anthropic.")  # what is compiled on first use
    assert len(SHAPES) >= 40
    slow = {}
    for shape, text in SHAPES.items():
        if spent := takes_too_long(function, text):
            slow[shape] = round(spent)
    assert not slow


@pytest.mark.parametrize("count", [150, pytest.param(3_000, marks=pytest.mark.slow)])
@pytest.mark.search
def test_no_shape_out_of_the_patterns_own_words_takes_50_ms(count: int) -> None:
    self_claims("I'm Claude, made by Anthropic.")
    slow = {}
    for text in generated(count, seed=12):
        if spent := takes_too_long(self_claims, text):
            slow[text[:120]] = round(spent)
    assert not slow
