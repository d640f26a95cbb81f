"""Which model answered one probe: all evidence, weighed together.

Source: docs/identity.md#verdict
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import exp

from monitor.domain import (
    Claim,
    ClaimKind,
    Evidence,
    Identity,
    IdentityJudgement,
    Target,
    TextDelta,
)
from monitor.identity.claims import (
    AnswerSwitch,
    ClaimSide,
    DeclaredModels,
    WeighedClaim,
    answer_switch,
    beginning,
    weigh,
    weigh_self_claim,
)
from monitor.identity.combined_judgement import TORN, combined
from monitor.identity.fingerprint.match import StyleMatch
from monitor.identity.learning import (
    AnswerEvidence,
    IdentityContext,
    JudgedAnswer,
    StyleStep,
    follow,
)
from monitor.identity.model_names.compare import parse
from monitor.identity.model_names.families import FAMILIES
from monitor.identity.self_identification.detector import ROUNDS, SelfIdHistory, self_claims
from monitor.identity.token_counts.comparison import TokenCounts, fitting, judge_counts
from monitor.identity.token_counts.counts import SOURCE
from monitor.redaction import plain

_HOSTS = 3  # named when the expected model's own name is not known
BY_TEXT = 0.8  # the highest confidence when only the text is evidence
SWITCH_LOG_ODDS = 3.0


@dataclass(frozen=True, slots=True)
class _Facts:
    """All evidence of one probe, weighed."""

    declared: DeclaredModels
    disclosed: tuple[WeighedClaim, ...]
    said: tuple[WeighedClaim, ...]
    switch: AnswerSwitch | None
    asked: bool
    self_id_history: SelfIdHistory
    aside: tuple[WeighedClaim, ...] = ()  # shown, but counted for neither side

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """All weighed evidence, most trusted kinds first."""
        shown = [weighed.evidence for weighed in (*self.disclosed, *self.said, *self.aside)]
        if self.switch:
            detail = f"after a pause of {self.switch.pause_ms:.0f} ms {self.switch.reason}"
            shown.append(Evidence(ClaimKind.CHUNKS, "a second answer", SWITCH_LOG_ODDS, detail))
        order = list(ClaimKind)
        return tuple(sorted(shown, key=lambda item: order.index(item.kind)))

    def of(self, side: ClaimSide) -> list[WeighedClaim]:
        """The disclosed claims for one side, most trusted first."""
        return [weighed for weighed in self.disclosed if weighed.side is side]

    @property
    def log_odds(self) -> float:
        """The balance of names and self-identification; positive for a fallback."""
        return sum(weighed.evidence.nats for weighed in (*self.disclosed, *self.said))

    def ruled(
        self, identity: Identity, model: str | None, *, sure: float, reason: str
    ) -> IdentityJudgement:
        """The judgement with all its evidence."""
        return IdentityJudgement(identity, model, round(sure, 4), self.evidence, f"{reason}.")

    def sole_fallback(self) -> str | None:
        """The declared fallback if there is only one."""
        return self.declared.fallbacks[0] if len(self.declared.fallbacks) == 1 else None


def _of_family(models: Sequence[str], family: str) -> str | None:
    """The first of the models whose vendor is this family's."""
    known = FAMILIES.get(family)
    return next((model for model in models if known and parse(model).vendor == known.vendor), None)


def judge(evidence: AnswerEvidence, target: Target, known: IdentityContext) -> JudgedAnswer:
    """Which model gave one answer, by all evidence and everything known about its target.

    The single entry point: disclosure, self-identification, token counts and writing style are
    weighed together. Pure.
    """
    accounts = known.counts.of(evidence.count) if evidence.count else None
    disclosed = judge_disclosure(
        evidence.claims,
        expected=target.expected_models,
        fallbacks=target.fallback_models,
        untrusted=target.untrusted,
        pieces=evidence.pieces,
        requested=evidence.query is not None and evidence.query.identity,
        persona=target.persona,
        self_id_history=known.self_id_history,
        accounts=accounts,
    )
    step, style = _followed(evidence, known)
    return JudgedAnswer(
        judgement=combined(disclosed, style),
        style=style,
        step=step,
        fits=fitting(accounts) - known.counts.seen_to_fit if accounts else frozenset(),
    )


def _followed(
    evidence: AnswerEvidence, known: IdentityContext
) -> tuple[StyleStep | None, StyleMatch | None]:
    """The target's state after this answer, and its style judgement; None without a baseline."""
    if known.style is None or evidence.answer is None:
        return None, None
    learnt = known.style.learnt
    if learnt.profile is None:
        reason = f"Writing style: {learnt.reason}."
        return None, StyleMatch(Identity.UNKNOWN, None, 0.0, reason=reason)
    step = follow(evidence, learnt.profile, known.style.track)
    return step, explained_by_host(step.match, evidence.claims, known.hosts)


def explained_by_host(
    match: StyleMatch, claims: Sequence[Claim], hosts: Sequence[str]
) -> StyleMatch:
    """Adds a change of host to a change of model: it is the likeliest reason."""
    host = next((claim.value for claim in claims if claim.kind is ClaimKind.HOST), None)
    if match.identity is not Identity.CHANGED or host is None or not hosts or host in hosts:
        return match
    usual = ", ".join(plain(name, 40) for name in hosts[:_HOSTS])
    reason = f"The host changed, too: {plain(host, 40)}, before {usual}."
    return replace(match, reason=f"{match.reason} {reason}")


def judge_disclosure(
    claims: Sequence[Claim],
    *,
    expected: Sequence[str],
    fallbacks: Sequence[str] = (),
    untrusted: Collection[str] = (),
    pieces: Sequence[TextDelta] = (),
    requested: bool = False,
    persona: bool = True,
    self_id_history: SelfIdHistory | None = None,
    accounts: TokenCounts | None = None,
) -> IdentityJudgement:
    """Judge one answer only by what its response discloses and says. Pure, never fails.

    `untrusted` are claim sources that are shown and not weighed; `text` among them disables
    self-identification. `asked`: the query directly asked which model answers. `self_id_history`:
    earlier answers to that question. `accounts`: the token counts of this answer and of earlier
    ones. `IdentityJudgement.model` is the most trusted disclosed name as stated, or the declared
    one if only the text is evidence; None if unknown.
    """
    declared = DeclaredModels(tuple(expected), tuple(fallbacks))
    text = beginning(pieces)
    switch = answer_switch(pieces)
    tokens = None  # the token count is not of this text if a second answer follows
    if accounts and not switch and SOURCE not in untrusted:
        tokens = judge_counts(accounts, declared)
    counted = (tokens,) if tokens else ()
    facts = _Facts(
        declared,
        (*weigh(claims, declared, untrusted=untrusted), *(w for w in counted if w.evidence.nats)),
        ()
        if "text" in untrusted
        else weigh_self_claim(self_claims(text), declared, persona=persona),
        switch,
        requested,
        self_id_history or SelfIdHistory(),
        tuple(weighed for weighed in counted if not weighed.evidence.nats),
    )
    return _by_receipt(facts) or _by_names(facts) or _by_text(facts) or _unknown(facts)


def _by_receipt(facts: _Facts) -> IdentityJudgement | None:
    """A provider record that we fetched ourselves decides alone."""
    receipts = [
        weighed
        for weighed in (*facts.of(ClaimSide.OTHER), *facts.of(ClaimSide.EXPECTED))
        if weighed.evidence.kind is ClaimKind.RECEIPT
    ]
    if not receipts:
        return None
    if len({weighed.side for weighed in receipts}) > 1:
        return _torn(facts, receipts)
    identity = Identity.FALLBACK if receipts[0].side is ClaimSide.OTHER else Identity.EXPECTED
    sure = _sure(receipts[0].evidence.nats)
    return facts.ruled(
        identity, receipts[0].model, sure=sure, reason="The provider's record names this model"
    )


def _by_names(facts: _Facts) -> IdentityJudgement | None:
    """By disclosure: names, and a gateway's report that it fell back."""
    ours, theirs = facts.of(ClaimSide.EXPECTED), facts.of(ClaimSide.OTHER)
    fell = facts.of(ClaimSide.FELL)
    if not (ours or theirs or fell):
        return None
    firm = [weighed for weighed in ours if not weighed.echo]
    if theirs or fell:
        model = theirs[0].model if theirs else facts.sole_fallback()
        if firm or facts.log_odds <= 0:
            return _torn(facts, (*firm, *ours, *theirs, *fell))
        notified = _disclosure_text((theirs or fell)[0])
        if theirs and ours and _source(ours[0]) == _source(theirs[0]):
            notified = (
                f"{_source(theirs[0])} names two models within one answer, "
                f"{ours[0].model} and {theirs[0].model}"
            )
        return facts.ruled(Identity.FALLBACK, model, sure=_sure(facts.log_odds), reason=notified)
    if facts.of(ClaimSide.FAILED):
        return None
    if facts.log_odds >= 0 or facts.switch:
        return _torn(facts, tuple(ours))
    return facts.ruled(
        Identity.EXPECTED,
        ours[0].model,
        sure=_sure(facts.log_odds),
        reason=_disclosure_text(ours[0]),
    )


def _source(weighed: WeighedClaim) -> str:
    return weighed.evidence.detail.split(": ", 1)[0]


def _disclosure_text(weighed: WeighedClaim) -> str:
    source, reason = weighed.evidence.detail.split(": ", 1)
    if source == SOURCE:
        return f"According to token counts, {reason}"
    return (
        f"{source} names {weighed.model}, which {reason}"
        if weighed.model
        else f"According to {source}, {reason}"
    )


def _by_text(facts: _Facts) -> IdentityJudgement | None:
    """Without disclosure: a second answer in the stream, or repeated self-identification."""
    if facts.of(ClaimSide.FAILED):
        return None
    if facts.switch:
        return _by_switch(facts, facts.switch)
    counted = [weighed for weighed in facts.said if weighed.evidence.nats]
    if not (facts.asked and counted):
        return None
    weighed = counted[0]
    family = weighed.evidence.claim
    run = facts.self_id_history.run(family) + 1
    against = any(w.evidence.nats * weighed.evidence.nats < 0 for w in facts.disclosed)
    if run < ROUNDS or against:
        return None
    notified = f"Asked directly, the model named itself in {run} rounds in a row"
    fallbacks = facts.declared.fallbacks
    fallback = _of_family(fallbacks, family)
    if weighed.side is ClaimSide.OTHER and fallback:
        return facts.ruled(Identity.FALLBACK, fallback, sure=BY_TEXT, reason=notified)
    candidates = {
        candidate
        for candidate in facts.self_id_history.families
        if _of_family(fallbacks, candidate)
    }
    if weighed.side is ClaimSide.EXPECTED and facts.self_id_history.once_claimed(candidates):
        model = _of_family(facts.declared.expected, family)
        notified += ", and named a fallback before"
        return facts.ruled(Identity.EXPECTED, model, sure=BY_TEXT, reason=notified)
    return None


def _by_switch(facts: _Facts, switch: AnswerSwitch) -> IdentityJudgement:
    """A second answer in the stream: attributed to the fallback, if one is declared."""
    fallbacks = facts.declared.fallbacks
    named = [_of_family(fallbacks, claim.family) for claim in self_claims(switch.second)]
    model = next((model for model in named if model), facts.sole_fallback())
    reason = f"The stream contains two answers: {switch.reason} after {switch.pause_ms:.0f} ms"
    if not fallbacks:
        return facts.ruled(Identity.DISPUTED, None, sure=TORN, reason=reason)
    return facts.ruled(Identity.FALLBACK, model, sure=BY_TEXT, reason=reason)


def _torn(facts: _Facts, named: Sequence[WeighedClaim]) -> IdentityJudgement:
    """Contradicting claims: both sides are shown, neither is trusted."""
    order = list(ClaimKind)
    names = sorted(
        (weighed for weighed in named if weighed.model),
        key=lambda weighed: order.index(weighed.evidence.kind),
    )
    shown = " against ".join(dict.fromkeys(w.evidence.detail.split(":")[0] for w in names))
    reason = f"The response contradicts itself: {shown or 'different names'}"
    if facts.switch:
        reason = "The response names one model, but the stream contains two answers"
    return facts.ruled(
        Identity.DISPUTED, names[0].model if names else None, sure=TORN, reason=reason
    )


def _unknown(facts: _Facts) -> IdentityJudgement:
    reason = "Nothing in the response identifies the model"
    if failed := facts.of(ClaimSide.FAILED):
        reason = f"{failed[0].evidence.claim} {failed[0].evidence.detail.split(': ', 1)[1]}"
    elif any(weighed.evidence.nats for weighed in facts.said):
        reason = "Only the answer text names a model, which is not sufficient"
    elif facts.disclosed:
        reason = "The response discloses no trusted model name"
    return facts.ruled(Identity.UNKNOWN, None, sure=0.0, reason=reason)


def _sure(log_odds: float) -> float:
    """Confidence from log-odds with even prior odds; the rules judge how often it happens."""
    return 1 / (1 + exp(-abs(log_odds)))
