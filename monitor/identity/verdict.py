"""Who answered one probe: the claims of its response weighed against each other.

Source: docs/identity.md#verdict
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import exp

from monitor.domain import Claim, ClaimKind, Evidence, Identity, Piece, Who
from monitor.identity.accounting import Accounts, accounted
from monitor.identity.claims import Declared, Side, Weighed, spoken, weigh
from monitor.identity.counting import SOURCE
from monitor.identity.families import FAMILIES
from monitor.identity.names import parse
from monitor.identity.selfid import claimed
from monitor.identity.standing import ROUNDS, Standing
from monitor.identity.switch import Switch, beginning, switched

BY_TEXT = 0.8  # no confidence beyond it where only the text speaks
SWITCH_NATS = 3.0
_TORN = 0.5


@dataclass(frozen=True, slots=True)
class _Facts:
    """All one probe says, weighed."""

    declared: Declared
    disclosed: tuple[Weighed, ...]
    said: tuple[Weighed, ...]
    switch: Switch | None
    asked: bool
    standing: Standing
    aside: tuple[Weighed, ...] = ()  # shown, and no side's

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Everything weighed, most trusted kinds first."""
        shown = [weighed.evidence for weighed in (*self.disclosed, *self.said, *self.aside)]
        if self.switch:
            detail = f"after a pause of {self.switch.pause_ms:.0f} ms {self.switch.why}"
            shown.append(Evidence(ClaimKind.CHUNKS, "a second answer", SWITCH_NATS, detail))
        order = list(ClaimKind)
        return tuple(sorted(shown, key=lambda item: order.index(item.kind)))

    def of(self, side: Side) -> list[Weighed]:
        """The disclosed claims that speak for one side, most trusted first."""
        return [weighed for weighed in self.disclosed if weighed.side is side]

    @property
    def nats(self) -> float:
        """The balance of names and self-identification; positive for a fallback."""
        return sum(weighed.evidence.nats for weighed in (*self.disclosed, *self.said))

    def ruled(self, identity: Identity, model: str | None, *, sure: float, why: str) -> Who:
        """The ruling with all its evidence."""
        return Who(identity, model, round(sure, 4), self.evidence, f"{why}.")

    def sole_fallback(self) -> str | None:
        """The declared fallback where there is only one."""
        return self.declared.fallbacks[0] if len(self.declared.fallbacks) == 1 else None


def _of_family(models: Sequence[str], family: str) -> str | None:
    """The first of the models whose maker is this family's."""
    known = FAMILIES.get(family)
    return next((model for model in models if known and parse(model).vendor == known.vendor), None)


def judge(
    claims: Sequence[Claim],
    *,
    expected: Sequence[str],
    fallbacks: Sequence[str] = (),
    untrusted: Collection[str] = (),
    pieces: Sequence[Piece] = (),
    asked: bool = False,
    persona: bool = True,
    standing: Standing | None = None,
    accounts: Accounts | None = None,
) -> Who:
    """Judge one probe by what its response discloses and says. Pure, and never fails.

    `untrusted` are claim sources that are shown and not weighed; `text` among them silences
    self-identification. `asked`: the query asked the service directly who it is. `standing`:
    what it answered to that before. `accounts`: its token counts, of this answer and of those
    before it. `Who.model` is the most trusted disclosed name as given,
    or the declared one where only the text speaks; None where nobody can tell.
    """
    declared = Declared(tuple(expected), tuple(fallbacks))
    text = beginning(pieces)
    switch = switched(pieces)
    tokens = None  # a second answer's count is not of this text
    if accounts and not switch and SOURCE not in untrusted:
        tokens = accounted(accounts, declared)
    counted = (tokens,) if tokens else ()
    facts = _Facts(
        declared,
        (*weigh(claims, declared, untrusted=untrusted), *(w for w in counted if w.evidence.nats)),
        () if "text" in untrusted else spoken(claimed(text), declared, persona=persona),
        switch,
        asked,
        standing or Standing(),
        tuple(weighed for weighed in counted if not weighed.evidence.nats),
    )
    return _by_receipt(facts) or _by_names(facts) or _by_text(facts) or _unknown(facts)


def _by_receipt(facts: _Facts) -> Who | None:
    """A record we fetched ourselves decides alone."""
    receipts = [
        weighed
        for weighed in (*facts.of(Side.OTHER), *facts.of(Side.EXPECTED))
        if weighed.evidence.kind is ClaimKind.RECEIPT
    ]
    if not receipts:
        return None
    if len({weighed.side for weighed in receipts}) > 1:
        return _torn(facts, receipts)
    identity = Identity.FALLBACK if receipts[0].side is Side.OTHER else Identity.EXPECTED
    sure = _sure(receipts[0].evidence.nats)
    return facts.ruled(
        identity, receipts[0].model, sure=sure, why="The provider's own record names it"
    )


def _by_names(facts: _Facts) -> Who | None:
    """What the response discloses: names, and a gateway's word that it fell back."""
    ours, theirs = facts.of(Side.EXPECTED), facts.of(Side.OTHER)
    fell = facts.of(Side.FELL)
    if not (ours or theirs or fell):
        return None
    firm = [weighed for weighed in ours if not weighed.echo]
    if theirs or fell:
        model = theirs[0].model if theirs else facts.sole_fallback()
        if firm or facts.nats <= 0:
            return _torn(facts, (*firm, *ours, *theirs, *fell))
        told = _told((theirs or fell)[0])
        if theirs and ours and _source(ours[0]) == _source(theirs[0]):
            told = (
                f"{_source(theirs[0])} names two models within one answer, "
                f"{ours[0].model} and {theirs[0].model}"
            )
        return facts.ruled(Identity.FALLBACK, model, sure=_sure(facts.nats), why=told)
    if facts.of(Side.FAILED):
        return None
    if facts.nats >= 0 or facts.switch:
        return _torn(facts, tuple(ours))
    return facts.ruled(Identity.EXPECTED, ours[0].model, sure=_sure(facts.nats), why=_told(ours[0]))


def _source(weighed: Weighed) -> str:
    return weighed.evidence.detail.split(": ", 1)[0]


def _told(weighed: Weighed) -> str:
    source, why = weighed.evidence.detail.split(": ", 1)
    if source == SOURCE:
        return f"By token counts, {why}"
    return f"{source} says {weighed.model}, which {why}" if weighed.model else f"By {source} {why}"


def _by_text(facts: _Facts) -> Who | None:
    """What is left where nothing is disclosed: a switch in the stream, and a repeated word."""
    if facts.of(Side.FAILED):
        return None
    if facts.switch:
        return _by_switch(facts, facts.switch)
    counted = [weighed for weighed in facts.said if weighed.evidence.nats]
    if not (facts.asked and counted):
        return None
    weighed = counted[0]
    family = weighed.evidence.claim
    run = facts.standing.run(family) + 1
    against = any(w.evidence.nats * weighed.evidence.nats < 0 for w in facts.disclosed)
    if run < ROUNDS or against:
        return None
    told = f"Asked directly, it said so in {run} rounds in a row"
    fallbacks = facts.declared.fallbacks
    fallback = _of_family(fallbacks, family)
    if weighed.side is Side.OTHER and fallback:
        return facts.ruled(Identity.FALLBACK, fallback, sure=BY_TEXT, why=told)
    rivals = {rival for rival in facts.standing.families if _of_family(fallbacks, rival)}
    if weighed.side is Side.EXPECTED and facts.standing.once_claimed(rivals):
        model = _of_family(facts.declared.expected, family)
        told += ", and it named a fallback before"
        return facts.ruled(Identity.EXPECTED, model, sure=BY_TEXT, why=told)
    return None


def _by_switch(facts: _Facts, switch: Switch) -> Who:
    """A second answer on the stream: the fallback's, where one is declared."""
    fallbacks = facts.declared.fallbacks
    named = [_of_family(fallbacks, claim.family) for claim in claimed(switch.second)]
    model = next((model for model in named if model), facts.sole_fallback())
    why = f"The stream holds two answers: {switch.why} after {switch.pause_ms:.0f} ms"
    if not fallbacks:
        return facts.ruled(Identity.DISPUTED, None, sure=_TORN, why=why)
    return facts.ruled(Identity.FALLBACK, model, sure=BY_TEXT, why=why)


def _torn(facts: _Facts, named: Sequence[Weighed]) -> Who:
    """Claims that contradict each other: both sides are shown, none is believed."""
    order = list(ClaimKind)
    names = sorted(
        (weighed for weighed in named if weighed.model),
        key=lambda weighed: order.index(weighed.evidence.kind),
    )
    shown = " against ".join(dict.fromkeys(w.evidence.detail.split(":")[0] for w in names))
    why = f"The response contradicts itself: {shown or 'names'}"
    if facts.switch:
        why = "The response names one model, and the stream holds two answers"
    return facts.ruled(Identity.DISPUTED, names[0].model if names else None, sure=_TORN, why=why)


def _unknown(facts: _Facts) -> Who:
    why = "Nothing in the response identifies the model"
    if failed := facts.of(Side.FAILED):
        why = f"{failed[0].evidence.claim} {failed[0].evidence.detail.split(': ', 1)[1]}"
    elif any(weighed.evidence.nats for weighed in facts.said):
        why = "Only the text says who answered, which never decides alone"
    elif facts.disclosed:
        why = "Nothing the response discloses is both trusted and a model's name"
    return facts.ruled(Identity.UNKNOWN, None, sure=0.0, why=why)


def _sure(nats: float) -> float:
    """Confidence from log-odds, at even prior odds: how often is the rules' business."""
    return 1 / (1 + exp(-abs(nats)))
