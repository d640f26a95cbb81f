"""Weighs each claim about the answering model: for which model it counts, and how much.

Weights are log-odds in nats of fallback against expected, positive for a fallback. Each kind of
claim is capped, because errors of one kind are correlated. A name that only repeats the requested
model weighs little, since gateways echo the request. Token counts are weighed by `token_counts`,
which compares several answers.

Source: docs/identity.md#evidence
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from statistics import median

from monitor.domain import Claim, ClaimKind, Evidence, TextDelta
from monitor.identity.model_names.compare import ModelName, parse, same, served_alias
from monitor.identity.model_names.families import FAMILIES, TIERS
from monitor.identity.self_identification.detector import SelfClaim, self_claims
from monitor.identity.self_identification.sentences import GREETINGS
from monitor.identity.token_counts.counts import SOURCE
from monitor.redaction import plain

LOG_ODDS = {
    ClaimKind.RECEIPT: 9.0,
    ClaimKind.ACCOUNTING: 7.0,
    ClaimKind.HEADER: 6.0,
    ClaimKind.SIBLING: 5.0,
    ClaimKind.FIELD: 4.0,
}
ECHO = 1.5  # the weight of a field that names the requested model
SELF, SELF_UNDER_PERSONA = 3.0, 1.0
# the format of an id only corroborates; gateways rewrite ids
SHAPE_OTHER, SHAPE_EXPECTED = 1.0, 0.5

_ALIASES = frozenset({"x-litellm-model-group", "x-litellm-model-id"})  # weighed like a field
FALLBACK_COUNTS = frozenset(  # headers that count failed attempts; 0: the first attempt succeeded
    {
        "x-litellm-attempted-fallbacks",
        "cf-aig-step",
        "helicone-fallback-index",
        "x-bifrost-fallback-index",
    }
)
_SHAPES = {"msg_": "anthropic"}  # `gen-` and `chatcmpl-` are used for any model
_IDS = frozenset({"id", "x-generation-id"})


class ClaimSide(StrEnum):
    EXPECTED = "expected"
    OTHER = "other"
    FELL = "fell"  # a fallback happened; its model is not named
    FAILED = "failed"  # no model answered
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class WeighedClaim:
    """A claim with its weight. `model` is the name as stated, if it names one."""

    evidence: Evidence
    side: ClaimSide
    model: str | None = None
    echo: bool = False  # may only repeat the request


@dataclass(frozen=True, slots=True)
class DeclaredModels:
    """The models of a target, as its configuration declares them."""

    expected: tuple[str, ...]
    fallbacks: tuple[str, ...]

    def side(self, name: str) -> tuple[ClaimSide, str]:
        """Which side a name counts for, and why."""
        ours, theirs = _hits(name, self.expected), _hits(name, self.fallbacks)
        if ours and theirs:
            return ClaimSide.NEITHER, "fits an expected model and a declared fallback"
        if ours:
            return ClaimSide.EXPECTED, f"is {ours[0]}"
        if theirs:
            return ClaimSide.OTHER, f"is the declared fallback {theirs[0]}"
        return self._undeclared(name)

    def _undeclared(self, name: str) -> tuple[ClaimSide, str]:
        parsed = parse(name)
        if parsed.failure:
            return ClaimSide.FAILED, "means that no model answered"
        if known := served_alias(name, self.expected):
            if known.renamed:
                return ClaimSide.EXPECTED, f"is the new name of {known.alias}"
            moved = f"the provider serves alias {known.alias} with {plain(name, 80)}"
            return ClaimSide.OTHER, f"is another model: {moved}"
        if not parsed.model:
            return ClaimSide.NEITHER, "is not a model name"
        if not self.expected:
            return ClaimSide.NEITHER, "no expected model is configured"
        if any(same(name, model) is None for model in self.expected):
            return ClaimSide.NEITHER, "is too vague to compare"
        if any(_near(parsed, parse(model)) for model in self.expected):
            return ClaimSide.NEITHER, "is the expected model's name with unknown additions"
        return ClaimSide.OTHER, "is another model"

    def vendors(self, *, expected: bool) -> frozenset[str]:
        """The vendors of the expected models, or of the fallbacks."""
        names = self.expected if expected else self.fallbacks
        return frozenset(vendor for name in names if (vendor := parse(name).vendor))


def _hits(name: str, declared: Sequence[str]) -> list[str]:
    return [model for model in declared if same(name, model)]


def _near(name: ModelName, model: ModelName) -> bool:
    """Differing only in words without known meaning, as deployment names do."""
    if name.family is None or (name.family, name.generation) != (model.family, model.generation):
        return False
    text = name.tier ^ model.tier
    return bool(text) and not any(
        word in TIERS or word in FAMILIES or any(c.isdigit() for c in word) for word in text
    )


def weigh(
    claims: Iterable[Claim], declared: DeclaredModels, *, untrusted: Collection[str]
) -> tuple[WeighedClaim, ...]:
    """All distinct claims, most trusted kinds first; each kind and side counts once."""
    order = list(ClaimKind)
    named_or_shaped = dict.fromkeys(
        claim for claim in claims if claim.source != SOURCE and claim.kind is not ClaimKind.HOST
    )
    distinct = sorted(named_or_shaped, key=lambda claim: order.index(claim.kind))
    named = any(
        claim.kind is ClaimKind.HEADER
        and claim.source not in {*_ALIASES, *_IDS, *FALLBACK_COUNTS, *untrusted}
        and declared.side(claim.value)[0] in (ClaimSide.EXPECTED, ClaimSide.OTHER)
        for claim in distinct
    )
    sides = {
        declared.side(claim.value)[0]
        for claim in distinct
        if claim.source not in {*_IDS, *FALLBACK_COUNTS, *untrusted}
    }
    confirmed = ClaimSide.EXPECTED in sides and ClaimSide.OTHER not in sides
    weighed: list[WeighedClaim] = []
    counted: set[tuple[ClaimKind, ClaimSide]] = set()
    for claim in distinct:
        if claim.source in untrusted:
            one = _weightless(claim, "listed as untrusted")
        elif claim.source in FALLBACK_COUNTS:
            one = _fallbacks(claim, named=named, confirmed=confirmed)
        elif claim.source in _IDS:
            one = _shape(claim, declared)
        else:
            one = _name(claim, declared)
        key = (claim.kind, one.side)
        if one.evidence.nats and key in counted:
            detail = f"{one.evidence.detail}; each kind counts once"
            one = replace(one, evidence=replace(one.evidence, nats=0.0, detail=detail))
        elif one.evidence.nats:
            counted.add(key)
        weighed.append(one)
    return tuple(weighed)


def _name(claim: Claim, declared: DeclaredModels) -> WeighedClaim:
    name = plain(claim.value, 200)
    side, reason = declared.side(name)
    cap = LOG_ODDS.get(claim.kind)
    if cap is None or side in (ClaimSide.NEITHER, ClaimSide.FAILED):
        return replace(_weightless(claim, reason), side=side)
    echo = side is ClaimSide.EXPECTED and (
        claim.kind is ClaimKind.FIELD or claim.source in _ALIASES
    )
    if claim.source in _ALIASES:
        cap = LOG_ODDS[ClaimKind.FIELD]
    log_odds = cap if side is ClaimSide.OTHER else -(ECHO if echo else cap)
    return WeighedClaim(_evidence(claim, log_odds, reason=reason), side, name, echo)


def _fallbacks(claim: Claim, *, named: bool, confirmed: bool) -> WeighedClaim:
    """A gateway's count of fallbacks, which describes its routing and not the model.

    If the response names a model, the name decides. Gateways that count fallbacks name the model of
    the route that answered, and another route may serve the same model.
    """
    if not (claim.value.isdigit() and claim.value.strip("0")):
        return _weightless(claim, "no fallback in the gateway; the service itself may fall back")
    if named:
        return _weightless(claim, "the gateway fell back; its header names the model")
    if confirmed:
        return _weightless(claim, "the gateway fell back; the answer names the expected model")
    return WeighedClaim(
        _evidence(claim, LOG_ODDS[ClaimKind.HEADER], reason="the gateway fell back"), ClaimSide.FELL
    )


def _shape(claim: Claim, declared: DeclaredModels) -> WeighedClaim:
    """The format of an id; it never decides alone, it only strengthens other evidence."""
    vendor = next((v for shape, v in _SHAPES.items() if claim.value.startswith(shape)), None)
    ours, theirs = (vendor in declared.vendors(expected=e) for e in (True, False))
    if vendor is None or ours == theirs:
        return _weightless(claim, "ids of this shape do not distinguish the models")
    log_odds = -SHAPE_EXPECTED if ours else SHAPE_OTHER
    return WeighedClaim(
        _evidence(claim, log_odds, reason=f"has the shape of {vendor}'s ids"), ClaimSide.NEITHER
    )


def _weightless(claim: Claim, reason: str) -> WeighedClaim:
    return WeighedClaim(_evidence(claim, 0.0, reason=reason), ClaimSide.NEITHER)


def _evidence(claim: Claim, log_odds: float, *, reason: str) -> Evidence:
    return Evidence(
        claim.kind, plain(claim.value, 200), log_odds, f"{plain(claim.source, 80)}: {reason}"
    )


def weigh_self_claim(
    reported: Sequence[SelfClaim], declared: DeclaredModels, *, persona: bool
) -> tuple[WeighedClaim, ...]:
    """What the text says about itself, weighed once; two vendors in one text cancel out."""
    ours, theirs = declared.vendors(expected=True), declared.vendors(expected=False)
    torn = len({claim.maker for claim in reported}) > 1
    weighed: list[WeighedClaim] = []
    for claim in reported:
        side, log_odds = ClaimSide.NEITHER, 0.0
        if not torn and (claim.maker in ours) != (claim.maker in theirs):
            side = ClaimSide.EXPECTED if claim.maker in ours else ClaimSide.OTHER
        elif not torn and ours and claim.maker not in ours:
            side = ClaimSide.OTHER
        if side is not ClaimSide.NEITHER and not weighed:
            log_odds = SELF_UNDER_PERSONA if persona else SELF
        log_odds = -log_odds if side is ClaimSide.EXPECTED else log_odds
        detail = f"text: {plain(claim.text, 120)}"
        weighed.append(WeighedClaim(Evidence(ClaimKind.SELF, claim.family, log_odds, detail), side))
    return tuple(weighed)


# A second answer appended to the first: "Hey there! WelcomeHello! I'm ZANTARA…".
#
# A service whose model fails in the middle of an answer may ask its fallback and append the whole
# second answer without notice. The stream then has an unusually long pause, followed by a new
# beginning in the middle of a sentence. A pause alone is an ordinary stall, a new beginning alone
# is ordinary text: both are required.


SHORTEST_PAUSE_MS = 200.0  # no fallback answers faster
OUT_OF_RHYTHM = 5.0  # multiples of the stream's median gap
FEWEST_GAPS = 3  # gaps besides the pause; with fewer there is no rhythm
PAUSES = 3  # longest pauses that are examined
SHORTEST_ANSWER = 12  # characters of a second answer
PIECES = 4_000  # pieces that are examined
_LAST = 6  # characters before a pause that are examined
_READ = 4_000  # characters of each answer that are examined on either side of a pause

_GREETS = re.compile(rf"\W*(?:{GREETINGS})\b|\W*(?:你好|您好|嗨)", re.I)
_UNFINISHED = re.compile(r"[^\W\d_A-ZÀ-Ý]\Z|,\Z")  # ends in a small letter or a comma
_BEGINS = re.compile(r"(?:[#*>-]+ ?)?[A-ZÀ-Ý][a-zà-ÿ']*\b")
_NAME_PART = re.compile(r"\b[A-ZÀ-Ý][a-z]{0,3}\Z")  # of a word with two capitals: "McCarthy"
_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class AnswerSwitch:
    """Where the second answer begins, after which pause, and why it counts as one."""

    first: str
    second: str
    pause_ms: float
    reason: str


def answer_switch(pieces: Sequence[TextDelta]) -> AnswerSwitch | None:
    """The second answer in a stream of answer text; None if there is none.

    Takes pieces in order of arrival and examines the first `PIECES` of them. A stream without a
    regular rhythm (few gaps, or everything at once) gives None.
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
    """The beginning of a text in pieces, about so many characters; the text may be very long."""
    parts: list[str] = []
    for piece in pieces:
        if most <= 0:
            break
        parts.append(piece.text[:most])
        most -= len(piece.text)
    return "".join(parts)


def _end(pieces: Sequence[TextDelta]) -> str:
    """The last characters of a text in pieces, none of which is empty."""
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
        return "the text greets a second time"
    if not (_UNFINISHED.search(end[-1:]) and _BEGINS.match(second)):
        return None
    if _GREETS.match(second) or self_claims(second[:200]):
        return "a greeting begins in the middle of a sentence"
    if _opening(first) == _opening(second):
        return "the text starts over"
    if re.search(r"\s", first) and second.count(" ") >= 3 and not _NAME_PART.search(end):
        return "a new sentence begins in the middle of another"
    return None


def _opening(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text[:80])[:2]]
