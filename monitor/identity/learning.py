"""What is known about a target before a probe, and what one answer adds to it.

Pure values: `storage.probe_rows` loads them in one read and writes them in one transaction.

Source: docs/adr/0012-one-judgement.md
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from monitor.domain import (
    Claim,
    ClaimKind,
    Identity,
    IdentityJudgement,
    Outcome,
    Query,
    Target,
    TextDelta,
)
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.match import StyleMatch, follow_answer
from monitor.identity.fingerprint.profile import StyleProfile
from monitor.identity.fingerprint.tracker import TrackerState
from monitor.identity.model_names.compare import same
from monitor.identity.self_identification.detector import SelfIdHistory
from monitor.identity.token_counts.comparison import CountHistory, Fitted
from monitor.identity.token_counts.counts import TokenCount

GROWN = 1.25  # growth of the captured answers after which a profile is learned again
MOST_CAPTURED = 50  # answers kept of each model and query
# Token counts do not confirm a model: they are calibrated with confirmed answers.
_CONFIRMING = (ClaimKind.RECEIPT, ClaimKind.HEADER, ClaimKind.SIBLING)


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """How many answers of a model to a query are kept. `model` None: held."""

    model: str | None
    query: str
    answers: int
    latest_at: datetime


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """The captured answers from which a profile was learned."""

    epoch: int
    learnt_until: datetime | None
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntProfile:
    """A profile in memory. `profile` None: there is none yet, for `reason`.

    `answers`: how many it was learned from, by model. `recorded`: the database has the figures on
    how well the fallbacks can be distinguished.
    """

    key: ProfileKey
    profile: StyleProfile | None
    reason: str = ""
    answers: Mapping[str, int] = field(default_factory=dict)
    recorded: bool = False

    def outgrown(self, counts: Sequence[AnswerCount]) -> bool:
        """Whether a model has many more answers now than the profile was learned from."""
        now: Counter[str] = Counter()
        for count in counts:
            if count.model is not None:
                now[count.model] += count.answers
        return any(total >= GROWN * self.answers.get(model, 0) for model, total in now.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleHistory:
    """The current baseline, and the target's state.

    `stored` and `stored_until` are the state as loaded; `track` is the state to continue with,
    which starts again when a profile is learned again.
    """

    learnt: LearntProfile
    track: TrackerState
    stored: TrackerState | None = None
    stored_until: datetime | None = None
    counts: Sequence[AnswerCount] = ()

    @property
    def held(self) -> bool:
        """Whether answers are held until their model is known."""
        return any(count.model is None for count in self.counts)

    def full(self, model: str, query: str) -> bool:
        """Whether enough answers of a model to a query are captured."""
        return any(
            count.answers >= MOST_CAPTURED
            for count in self.counts
            if count.model == model and count.query == query
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityContext:
    """Everything known about a target before one answer is judged; empty: nothing.

    `hosts`: recent hosts of the expected model, most usual first; loaded only during a suspicion.
    """

    self_id_history: SelfIdHistory = field(default_factory=SelfIdHistory)
    style: StyleHistory | None = None  # None: no baseline was ever captured
    counts: CountHistory = field(default_factory=CountHistory)
    hosts: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerEvidence:
    """The evidence of one response about its model.

    `query` None: the query is unknown. `answer`: the text of a complete answer, for the style
    comparison. `count`: its token count. `burst`: it was requested because of a suspicion.
    """

    at: datetime
    claims: tuple[Claim, ...] = ()
    pieces: Sequence[TextDelta] = ()
    query: Query | None = None
    answer: AnswerText | None = None
    count: TokenCount | None = None
    burst: bool = False


@dataclass(frozen=True, slots=True)
class StyleStep:
    """The state of a target after one more answer."""

    evidence: AnswerEvidence
    profile: StyleProfile
    before: TrackerState
    track: TrackerState
    match: StyleMatch

    def again(self, before: TrackerState) -> "StyleStep":
        """The same answer applied to another state, because another worker was faster."""
        return follow(self.evidence, self.profile, before)


def follow(evidence: AnswerEvidence, profile: StyleProfile, before: TrackerState) -> StyleStep:
    """Apply one more complete answer. Raises ValueError without an answer."""
    if evidence.answer is None:
        raise ValueError("there is no answer to follow")
    track, match = follow_answer(
        before, profile, evidence.answer, at=evidence.at, extra=evidence.burst
    )
    return StyleStep(evidence, profile, before, track, match)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswer:
    """The judgement of one answer, and its basis.

    `style`: by writing style alone. `step` None: the state did not change. `fits`: tokenizers that
    fit for the first time.
    """

    judgement: IdentityJudgement
    style: StyleMatch | None = None
    step: StyleStep | None = None
    fits: frozenset[Fitted] = frozenset()


@dataclass(frozen=True, slots=True)
class CapturedAnswer:
    """An answer to keep. `model` None: it is held until its model is known."""

    answer: AnswerText
    query: Query
    model: str | None
    verified_by: str | None
    begins: bool  # it starts a baseline if there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityLearning:
    """What one probe adds to the knowledge about its target; stored with its observation.

    `release`: delete the held answers, because the suspicion has passed.
    """

    target: str
    observation: UUID
    style: StyleHistory | None = None
    step: StyleStep | None = None
    fits: frozenset[Fitted] = frozenset()
    captured: CapturedAnswer | None = None
    release: bool = False


def learning(
    judged: JudgedAnswer,
    evidence: AnswerEvidence,
    target: Target,
    known: IdentityContext,
    *,
    outcome: Outcome,
    observation: UUID,
) -> IdentityLearning:
    """What an answer adds: its step, its count, and the answer itself if its model is confirmed.

    An answer under suspicion is held. Held answers become a baseline if a person accepts them, and
    are deleted when the suspicion passes.
    """
    found = IdentityLearning(
        target=target.name,
        observation=observation,
        style=known.style,
        step=judged.step,
        fits=judged.fits,
    )
    answer, query, who = evidence.answer, evidence.query, judged.judgement
    if outcome is not Outcome.ANSWERED or answer is None or query is None:
        return found
    if judged.style is not None and judged.style.lost_sources:
        return found
    track = judged.step.track if judged.step else known.style.track if known.style else None
    suspected = track is not None and track.since is not None
    expected = who.identity is Identity.EXPECTED
    model, verified_by = _confirmed(target, who)
    if model is not None:
        if known.style is not None and known.style.full(model, query.id):
            return found
        captured = CapturedAnswer(answer, query, model, verified_by, begins=expected)
        return replace(found, captured=captured)
    if known.style is None:
        return found
    if suspected and not expected:
        return replace(found, captured=CapturedAnswer(answer, query, None, None, begins=False))
    return replace(found, release=expected and not suspected and known.style.held)


def _confirmed(target: Target, who: IdentityJudgement) -> tuple[str | None, str | None]:
    """The declared model that the response itself confirms, and by what evidence."""
    sign = {Identity.EXPECTED: -1, Identity.FALLBACK: 1}.get(who.identity, 0)
    kinds = [e.kind for e in who.evidence if e.kind in _CONFIRMING and e.nats * sign > 0]
    if not kinds or who.model is None:
        return None, None
    declared = (*target.expected_models, *target.fallback_models)
    model = next((name for name in declared if same(name, who.model)), who.model)
    return model, "receipt" if ClaimKind.RECEIPT in kinds else "disclosure"
