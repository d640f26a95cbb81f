"""What is stored of an answer that came in pieces, however it was cut."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.dialects import dialect_of, read
from monitor.domain import (
    Ending,
    Identity,
    IdentityJudgement,
    Observation,
    ParsedEvent,
    Query,
    StreamEvent,
    Target,
    Transcript,
)
from monitor.pricing.book import price_book
from monitor.probing import observe as observing
from monitor.probing.observe import ProbeOccasion, ReadTranscript, evidence, observe
from monitor.redaction import stored_bytes

NOON = datetime(2026, 7, 14, 12, tzinfo=UTC)
QUERY = Query(id="hi", text="Hi")
TARGET = Target(name="t", url="http://t", dialect="bali_zero", queries=(QUERY,),
                chars_per_token=Decimal(4))  # fmt: skip
UNKNOWN = IdentityJudgement(Identity.UNKNOWN, None, 0.0, (), "")


def observed(*heard: ParsedEvent) -> Observation:
    """The observation of an answer in these pieces."""
    events = tuple(StreamEvent(n, "", "", n) for n in range(len(heard)))
    transcript = Transcript(
        id=uuid4(), started_at=NOON, started_ns=0, ended_ns=9, ending=Ending.END, query="hi",
        status=200, events=events, heard=heard,
    )  # fmt: skip
    occasion = ProbeOccasion(target=TARGET, query=QUERY, origin="round", slot=NOON, region="",
                             worker="", config_hash="")  # fmt: skip
    answer = ReadTranscript.of(transcript, read(dialect_of(TARGET), transcript))
    said = evidence(answer, occasion)
    return observe(answer, occasion, said, UNKNOWN, book=price_book({}, same=str.__eq__))


@settings(max_examples=100)
@given(st.lists(st.text(st.sampled_from("ab\0\ud83d\udc4b👋é")), max_size=12), st.integers(1, 9))
def test_the_hash_of_an_answer_does_not_depend_on_how_it_was_cut(
    texts: list[str], block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observing, "BLOCK", block)
        seen = observed(*(ParsedEvent(text=text) for text in texts))
    whole = "".join(texts)
    digest = hashlib.sha256(stored_bytes(whole)).hexdigest() if whole else None
    assert (seen.answer_sha256, seen.answer_chars) == (digest, len(whole))


def test_tokens_are_estimated_from_answer_and_reasoning_the_excerpt_is_of_the_answer() -> None:
    seen = observed(
        ParsedEvent(reasoning="Let me think."), ParsedEvent(text="Hello "), ParsedEvent(text="you.")
    )
    assert seen.answer_tokens == 6  # 13 and 10 characters
    assert (seen.answer_excerpt, seen.answer_chars) == ("Hello you.", 10)


def test_an_answer_without_text_has_neither_hash_nor_excerpt() -> None:
    seen = observed(ParsedEvent(reasoning="Let me think."))
    assert (seen.answer_sha256, seen.answer_excerpt, seen.answer_chars) == (None, None, 0)
