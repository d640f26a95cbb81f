"""Answers interpreted within a limit of CPU time: what takes longer is stored as unknown.

Every function involved is linear and reads a bounded part of an answer; the limit is for the
mistake nobody has found yet. It is enforced on the event loop, step by step.

Source: docs/adr/0010-limit-on-interpretation.md
"""

from monitor import identity
from monitor.cpu_limit import LIMIT_S, CpuLimitExceeded, limited
from monitor.dialects import unread
from monitor.domain import Dialect, Observation, Transcript
from monitor.pricing import PriceBook
from monitor.probing.observe import ProbeOccasion, observe

EXCEEDED = (
    f"Interpreting the answer took more than {LIMIT_S * 1000:.0f} ms of CPU time and was stopped; "
    "the model was not identified."
)


def observed(
    transcript: Transcript, occasion: ProbeOccasion, *, dialect: Dialect, book: PriceBook
) -> Observation:
    """One probe's observation, without fingerprint, token counts and earlier answers."""
    identity.prepare()
    try:
        return limited(
            observe,
            transcript,
            occasion,
            dialect=dialect,
            book=book,
            self_id_history=identity.SelfIdHistory(),
        )
    except CpuLimitExceeded:
        return uninterpreted(transcript, occasion, dialect=dialect, book=book)


def uninterpreted(
    transcript: Transcript, occasion: ProbeOccasion, *, dialect: Dialect, book: PriceBook
) -> Observation:
    """The observation of an answer whose interpretation exceeded the limit."""
    return observe(
        transcript, occasion, dialect=dialect, book=book, self_id_history=identity.SelfIdHistory(),
        reply=unread(transcript), uninterpreted=EXCEEDED,
    )  # fmt: skip
