"""Disclosure and writing style, combined into one judgement.

A fetched provider record decides alone. Without disclosure, writing style decides. If the two
contradict each other, both are shown and neither is trusted.
"""

from dataclasses import replace

from monitor.domain import (
    ClaimKind,
    Evidence,
    Identity,
    IdentityJudgement,
)
from monitor.identity.fingerprint.match import StyleMatch
from monitor.identity.model_names.compare import same

TORN = 0.5  # confidence when two sides contradict each other
_ORDER = list(ClaimKind)


def combined(disclosed: IdentityJudgement, style_match: StyleMatch | None) -> IdentityJudgement:
    """One judgement from both. `style_match` None: no answer, or no baseline to compare with."""
    if style_match is None:
        return disclosed
    both = replace(disclosed, evidence=_sorted(disclosed.evidence, style_match.evidence))
    if style_match.identity is Identity.UNKNOWN:
        silent = disclosed.identity is Identity.UNKNOWN
        return replace(both, reason=_joined(disclosed, style_match)) if silent else both
    if disclosed.identity is Identity.DISPUTED or _received(disclosed):
        return replace(both, reason=_joined(disclosed, style_match))
    match disclosed.identity:
        case Identity.EXPECTED:
            return _said_expected(both, style_match)
        case Identity.FALLBACK:
            return _said_fallback(both, style_match)
        case _:
            return _said_nothing(both, style_match)


def _said_nothing(who: IdentityJudgement, style_match: StyleMatch) -> IdentityJudgement:
    """Nothing disclosed: writing style decides, unless the answer names another model."""
    own = sum(item.nats for item in who.evidence if item.kind is ClaimKind.SELF)
    if style_match.identity is Identity.EXPECTED and own > 0:
        reason = "Writing style matches the expected model, but the text names another"
        return IdentityJudgement(Identity.UNKNOWN, None, 0.0, who.evidence, f"{reason}.")
    return IdentityJudgement(
        style_match.identity,
        style_match.model,
        style_match.confidence,
        who.evidence,
        style_match.reason,
    )


def _said_expected(who: IdentityJudgement, style_match: StyleMatch) -> IdentityJudgement:
    if style_match.identity is Identity.EXPECTED:
        return replace(who, confidence=max(who.confidence, style_match.confidence))
    reason = f"The response names {who.model}; {_lowered(style_match.reason)}"
    if style_match.identity is Identity.FALLBACK:
        return replace(who, identity=Identity.DISPUTED, confidence=TORN, reason=reason)
    reason = f"{reason} Possible causes: a model update, another host, an edited prompt."
    return IdentityJudgement(
        Identity.CHANGED, who.model, style_match.confidence, who.evidence, reason
    )


def _said_fallback(who: IdentityJudgement, style_match: StyleMatch) -> IdentityJudgement:
    """A named fallback is contradicted by another one, or by answers clearly not its own."""
    if style_match.identity is Identity.CHANGED:
        return who
    if style_match.identity is Identity.FALLBACK:
        agreed = who.model is None or same(who.model, style_match.model or "") is not False
        if agreed:
            sure = max(who.confidence, style_match.confidence)
            return replace(who, model=who.model or style_match.model, confidence=sure)
    elif not _contradicted(who, style_match):
        return who
    reason = f"{who.reason} {style_match.reason}"
    return replace(who, identity=Identity.DISPUTED, confidence=TORN, reason=reason)


def _contradicted(who: IdentityJudgement, style_match: StyleMatch) -> bool:
    """The style is stronger evidence against the named fallback than the name is for it."""
    candidates = style_match.against
    known = any(who.model is not None and same(who.model, candidate) for candidate in candidates)
    return known and sum(item.nats for item in who.evidence) <= 0


def _received(who: IdentityJudgement) -> bool:
    return any(item.kind is ClaimKind.RECEIPT and item.nats for item in who.evidence)


def _joined(disclosed: IdentityJudgement, style_match: StyleMatch) -> str:
    return f"{disclosed.reason} {style_match.reason}".strip()


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _sorted(*sides: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    items = [item for side in sides for item in side]
    return tuple(sorted(items, key=lambda item: _ORDER.index(item.kind)))
