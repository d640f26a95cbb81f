"""Each claim about who answered, weighed: for whom it speaks, and how much it may weigh.

Weights are nats of log-odds, fallback against expected, positive for a fallback; kinds of
claim are capped because the errors of one kind are shared. A name that merely repeats
what was asked for weighs little, since gateways echo the request. Token counts are weighed
by `accounting`, which looks at several answers.

Source: docs/identity.md#evidence
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from monitor.domain import Claim, ClaimKind, Evidence
from monitor.identity.model_names.aliases import served_alias
from monitor.identity.model_names.compare import ModelName, parse, same
from monitor.identity.model_names.families import FAMILIES, TIERS
from monitor.identity.self_identification.detector import SelfClaim
from monitor.identity.token_counts.counts import SOURCE
from monitor.redaction import plain

LOG_ODDS = {
    ClaimKind.RECEIPT: 9.0,
    ClaimKind.ACCOUNTING: 7.0,
    ClaimKind.HEADER: 6.0,
    ClaimKind.SIBLING: 5.0,
    ClaimKind.FIELD: 4.0,
}
ECHO = 1.5  # what a field weighs that names the model asked for
SELF, SELF_UNDER_PERSONA = 3.0, 1.0
SHAPE_OTHER, SHAPE_EXPECTED = 1.0, 0.5  # an id's shape corroborates; gateways rewrite ids

_ALIASES = frozenset({"x-litellm-model-group", "x-litellm-model-id"})  # weigh as a field does
FALLBACK_COUNTS = frozenset(  # headers that count failed targets; 0: the first one answered
    {"x-litellm-attempted-fallbacks", "cf-aig-step", "helicone-fallback-index",
     "x-bifrost-fallback-index"}
)  # fmt: skip
_SHAPES = {"msg_": "anthropic"}  # `gen-` and `chatcmpl-` are given out for any model
_IDS = frozenset({"id", "x-generation-id"})


class ClaimSide(StrEnum):
    EXPECTED = "expected"
    OTHER = "other"
    FELL = "fell"  # a fallback happened, to whom is not said
    FAILED = "failed"  # no model answered
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class WeighedClaim:
    """A claim with its weight. `model` is the name as given, where it names one."""

    evidence: Evidence
    side: ClaimSide
    model: str | None = None
    echo: bool = False  # may be no more than the request repeated


@dataclass(frozen=True, slots=True)
class DeclaredModels:
    """The models a target is meant to answer with, as its operator wrote them."""

    expected: tuple[str, ...]
    fallbacks: tuple[str, ...]

    def side(self, name: str) -> tuple[ClaimSide, str]:
        """For whom a name speaks, and why."""
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
            return ClaimSide.FAILED, "marks that no model answered"
        if known := served_alias(name, self.expected):
            if known.renamed:
                return ClaimSide.EXPECTED, f"is {known.alias} by its new name"
            moved = f"the provider serves alias {known.alias} with {plain(name, 80)}"
            return ClaimSide.OTHER, f"is another model: {moved}"
        if not parsed.model:
            return ClaimSide.NEITHER, "is no model's name"
        if not self.expected:
            return ClaimSide.NEITHER, "no expected model is configured"
        if any(same(name, model) is None for model in self.expected):
            return ClaimSide.NEITHER, "is too vague to compare"
        if any(_near(parsed, parse(model)) for model in self.expected):
            return ClaimSide.NEITHER, "is the expected model's name with words nobody knows"
        return ClaimSide.OTHER, "is another model"

    def vendors(self, *, expected: bool) -> frozenset[str]:
        """The makers of the expected models, or of the fallbacks."""
        names = self.expected if expected else self.fallbacks
        return frozenset(vendor for name in names if (vendor := parse(name).vendor))


def _hits(name: str, declared: Sequence[str]) -> list[str]:
    return [model for model in declared if same(name, model)]


def _near(name: ModelName, model: ModelName) -> bool:
    """Differing only in words of no known meaning, as names of deployments do."""
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
            one = _weightless(claim, "named untrusted")
        elif claim.source in FALLBACK_COUNTS:
            one = _fallbacks(claim, named=named, confirmed=confirmed)
        elif claim.source in _IDS:
            one = _shape(claim, declared)
        else:
            one = _name(claim, declared)
        key = (claim.kind, one.side)
        if one.evidence.nats and key in counted:
            detail = f"{one.evidence.detail}; its kind counts once"
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
    """A gateway's count of fallbacks: a statement about its routing, not about the model.

    Where the response names a model, the name decides. Gateways that count fallbacks name the
    model of the route that answered, and another route may serve the same model.
    """
    if not (claim.value.isdigit() and claim.value.strip("0")):
        return _weightless(claim, "no fallback in the gateway; says nothing of the service")
    if named:
        return _weightless(claim, "the gateway fell back; its header names to whom")
    if confirmed:
        return _weightless(claim, "the gateway fell back; the answer names the expected model")
    return WeighedClaim(
        _evidence(claim, LOG_ODDS[ClaimKind.HEADER], reason="the gateway fell back"), ClaimSide.FELL
    )


def _shape(claim: Claim, declared: DeclaredModels) -> WeighedClaim:
    """The shape of an id; it never takes a side, it only adds to one."""
    vendor = next((v for shape, v in _SHAPES.items() if claim.value.startswith(shape)), None)
    ours, theirs = (vendor in declared.vendors(expected=e) for e in (True, False))
    if vendor is None or ours == theirs:
        return _weightless(claim, "ids of this shape tell no models apart")
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
    """What the text says of itself, weighed once; two makers in one text cancel out."""
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
