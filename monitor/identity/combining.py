"""What a response discloses and what its answer looks like, in one judgement.

A record we fetched decides alone. Where nothing is disclosed the looks decide; where both
speak and contradict each other both are shown and neither is believed.
"""

from dataclasses import replace

from monitor.domain import ClaimKind, Evidence, Identity, Who
from monitor.identity.looks import Looks
from monitor.identity.names import same

_TORN = 0.5
_ORDER = list(ClaimKind)


def combined(disclosed: Who, looks: Looks | None) -> Who:
    """One judgement of both. `looks` None: no answer, or no baseline to compare it with."""
    if looks is None:
        return disclosed
    both = replace(disclosed, evidence=_sorted(disclosed.evidence, looks.evidence))
    if looks.identity is Identity.UNKNOWN:
        silent = disclosed.identity is Identity.UNKNOWN
        return replace(both, reason=_joined(disclosed, looks)) if silent else both
    if disclosed.identity is Identity.DISPUTED or _received(disclosed):
        return replace(both, reason=_joined(disclosed, looks))
    match disclosed.identity:
        case Identity.EXPECTED:
            return _said_expected(both, looks)
        case Identity.FALLBACK:
            return _said_fallback(both, looks)
        case _:
            return _said_nothing(both, looks)


def _said_nothing(who: Who, looks: Looks) -> Who:
    """Nothing disclosed: the looks decide, unless the answer's own word speaks against them."""
    own = sum(item.nats for item in who.evidence if item.kind is ClaimKind.SELF)
    if looks.identity is Identity.EXPECTED and own > 0:
        why = "It looks like the expected model and says it is another"
        return Who(Identity.UNKNOWN, None, 0.0, who.evidence, f"{why}.")
    return Who(looks.identity, looks.model, looks.confidence, who.evidence, looks.reason)


def _said_expected(who: Who, looks: Looks) -> Who:
    if looks.identity is Identity.EXPECTED:
        return replace(who, confidence=max(who.confidence, looks.confidence))
    why = f"The response names {who.model}; {_lowered(looks.reason)}"
    if looks.identity is Identity.FALLBACK:
        return replace(who, identity=Identity.DISPUTED, confidence=_TORN, reason=why)
    why = f"{why} A model update, another host or an edited prompt look like this."
    return Who(Identity.CHANGED, who.model, looks.confidence, who.evidence, why)


def _said_fallback(who: Who, looks: Looks) -> Who:
    """A named fallback is contradicted by another one, or by answers clearly not its own."""
    if looks.identity is Identity.CHANGED:
        return who
    if looks.identity is Identity.FALLBACK:
        agreed = who.model is None or same(who.model, looks.model or "") is not False
        if agreed:
            sure = max(who.confidence, looks.confidence)
            return replace(who, model=who.model or looks.model, confidence=sure)
    elif not _contradicted(who, looks):
        return who
    why = f"{who.reason} {looks.reason}"
    return replace(who, identity=Identity.DISPUTED, confidence=_TORN, reason=why)


def _contradicted(who: Who, looks: Looks) -> bool:
    """The answer speaks more strongly against the named fallback than the name speaks for it."""
    rivals = looks.against
    known = any(who.model is not None and same(who.model, rival) for rival in rivals)
    return known and sum(item.nats for item in who.evidence) <= 0


def _received(who: Who) -> bool:
    return any(item.kind is ClaimKind.RECEIPT and item.nats for item in who.evidence)


def _joined(disclosed: Who, looks: Looks) -> str:
    return f"{disclosed.reason} {looks.reason}".strip()


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _sorted(*sides: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    items = [item for side in sides for item in side]
    return tuple(sorted(items, key=lambda item: _ORDER.index(item.kind)))
