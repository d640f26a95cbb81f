"""A second answer appended to the first: "Hey there! WelcomeHello! I'm ZANTARA…".

A service whose model fails in the middle of an answer may ask its fallback and append the
whole new answer without a word. The stream shows it as a pause out of its own rhythm
with a new beginning right behind it, in the middle of a sentence. A pause alone is an
ordinary stall, a new beginning alone is ordinary text: both are asked for.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from monitor.domain import TextDelta
from monitor.identity.self_identification.claim_context import GREETINGS
from monitor.identity.self_identification.detector import self_claims

SHORTEST_PAUSE_MS = 200.0  # no other model is asked in less
OUT_OF_RHYTHM = 5.0  # times the median gap of the stream
FEWEST_GAPS = 3  # besides the pause; fewer have no rhythm
PAUSES = 3  # longest pauses looked at
SHORTEST_ANSWER = 12  # characters of a second answer
PIECES = 4_000  # pieces looked at
_LAST = 6  # characters before a pause looked at
_READ = 4_000  # characters of each answer looked at on either side of a pause

_GREETS = re.compile(rf"\W*(?:{GREETINGS})\b|\W*(?:你好|您好|嗨)", re.I)
_UNFINISHED = re.compile(r"[^\W\d_A-ZÀ-Ý]\Z|,\Z")  # ends in a small letter or a comma
_BEGINS = re.compile(r"(?:[#*>-]+ ?)?[A-ZÀ-Ý][a-zà-ÿ']*\b")
_NAME_PART = re.compile(r"\b[A-ZÀ-Ý][a-z]{0,3}\Z")  # of a word with two capitals: "McCarthy"
_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class AnswerSwitch:
    """Where the second answer begins, after which pause, and why it is one."""

    first: str
    second: str
    pause_ms: float
    reason: str


def answer_switch(pieces: Sequence[TextDelta]) -> AnswerSwitch | None:
    """The second answer in a stream of answer text; None if there is none to be seen.

    Takes pieces in order of arrival, and looks at the first `PIECES` of them. Streams without
    a rhythm of their own (few gaps, or everything at once) show nothing.
    """
    spoken = [piece for piece in pieces[:PIECES] if piece.text]
    gaps = [(later.arrived_ns - earlier.arrived_ns) / 1e6 for earlier, later in pairwise(spoken)]
    if len(gaps) <= FEWEST_GAPS:
        return None
    least = max(SHORTEST_PAUSE_MS, OUT_OF_RHYTHM * median(gaps))
    longest = sorted(range(len(gaps)), key=gaps.__getitem__, reverse=True)[:PAUSES]
    for at in sorted(at for at in longest if gaps[at] >= least):
        first = beginning(spoken[: at + 1])
        second = beginning(spoken[at + 1 :])
        if reason := _second_answer(first, second, end=_end(spoken[: at + 1])):
            return AnswerSwitch(first, second, gaps[at], reason)
    return None


def beginning(pieces: Iterable[TextDelta], most: int = 8_000) -> str:
    """The beginning of a text in pieces, which may be very long: about so many characters."""
    parts: list[str] = []
    for piece in pieces:
        if most <= 0:
            break
        parts.append(piece.text[:most])
        most -= len(piece.text)
    return "".join(parts)


def _end(pieces: Sequence[TextDelta]) -> str:
    """The last characters of a text in pieces, of which none is empty."""
    return "".join(piece.text[-_LAST:] for piece in pieces[-_LAST:])[-_LAST:]


def _second_answer(first: str, second: str, *, end: str) -> str | None:
    """Why the text after a pause is another answer and not the rest of the same one."""
    first, second = first[:_READ], second[:_READ]
    if len(second.strip()) < SHORTEST_ANSWER:
        return None
    makers = [{claim.maker for claim in self_claims(part)} for part in (first, second)]
    if all(len(named) == 1 for named in makers) and makers[0] != makers[1]:
        return "the two parts name different makers"
    if _GREETS.match(first) and _GREETS.match(second):
        return "it greets a second time"
    if not (_UNFINISHED.search(end[-1:]) and _BEGINS.match(second)):
        return None
    if _GREETS.match(second) or self_claims(second[:200]):
        return "a greeting begins in the middle of a sentence"
    if _opening(first) == _opening(second):
        return "it begins again as it began"
    if re.search(r"\s", first) and second.count(" ") >= 3 and not _NAME_PART.search(end):
        return "a new sentence begins in the middle of another"
    return None


def _opening(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text[:80])[:2]]
