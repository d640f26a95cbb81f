"""What a worker knows about its targets' models: read before probes, cached while valid."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from monitor import identity
from monitor.domain import Target
from monitor.identity import same
from monitor.identity.fingerprint.features import AnswerText
from monitor.identity.fingerprint.profile import StyleProfile, TooFewAnswers, learn_profile
from monitor.identity.learning import IdentityContext, IdentityLearning, LearntProfile, StyleHistory
from monitor.identity.token_counts.comparison import (
    REMEMBERED,
    CountHistory,
    CountsKey,
    calibrations_from,
)
from monitor.identity.token_counts.counts import Counter, RatioCalibration, TokenCount, recounted
from monitor.storage import Connection, Database, baseline_answers, probe_rows
from monitor.storage.fingerprints import BaselineEpoch
from monitor.storage.probe_rows import InMemory, StoredBaseline, StoredBefore
from monitor.storage.rederive import StoredObservation


@dataclass(frozen=True, slots=True)
class ConfirmedCounts:
    """The calibration from the token counts of confirmed answers; `key` identifies the answers."""

    key: CountsKey
    learnt: Mapping[str, RatioCalibration | str]


@dataclass(slots=True)
class IdentityCache:
    """Profiles and calibrations by target: learned again only when there are other answers."""

    profiles: dict[str, LearntProfile] = field(default_factory=dict)
    counts: dict[str, ConfirmedCounts] = field(default_factory=dict)

    def of(self, target: str) -> InMemory:
        """What was learned about a target."""
        counts = self.counts.get(target)
        return InMemory(self.profiles.get(target), counts.key if counts else None)

    def forget(self, target: str) -> None:
        """Drop what was learned about a target whose settings changed."""
        self.profiles.pop(target, None)
        self.counts.pop(target, None)

    def stored(self, learning: IdentityLearning) -> None:
        """Record that the database has the figures of a profile."""
        style = learning.style
        if learning.step and style and self.profiles.get(learning.target) is style.learnt:
            self.profiles[learning.target] = replace(style.learnt, recorded=True)


async def load(
    database: Database,
    cache: IdentityCache,
    targets: Iterable[Target],
    *,
    now: datetime,
    deadline_s: float | None = None,
    first: Callable[[Connection], Awaitable[object]],
) -> Mapping[str, IdentityContext]:
    """Read what the next probe of each target needs, and learn what is new.

    One transaction for all of them, which begins with `first`. Raises DatabaseUnavailable.
    """
    wanted = {target.name: (target, cache.of(target.name)) for target in targets}
    async with database.begin(deadline_s=deadline_s) as connection:
        await first(connection)
        found = await probe_rows.load(connection, wanted, now=now)
    known = {}
    for name, stored in found.items():
        target = wanted[name][0]
        history = CountHistory(
            earlier=stored.counts,
            learnt=_learnt_counts(cache, target, stored),
            seen_to_fit=stored.seen_to_fit,
        )
        known[name] = IdentityContext(
            self_id_history=identity.self_id_history_of(stored.direct),
            style=await _style(cache, target, stored.baseline) if stored.baseline else None,
            counts=history,
            hosts=stored.hosts,
        )
    return known


def _learnt_counts(
    cache: IdentityCache, target: Target, stored: StoredBefore
) -> Mapping[str, RatioCalibration | str]:
    held = cache.counts.get(target.name)
    if stored.confirmed is not None or held is None:
        learnt = calibrations_from(_declared(target), stored.confirmed or {})
        held = cache.counts[target.name] = ConfirmedCounts(stored.confirmed_key, learnt)
    return held.learnt


async def _style(cache: IdentityCache, target: Target, stored: StoredBaseline) -> StyleHistory:
    learnt = cache.profiles.get(target.name)
    if stored.answers is not None or learnt is None:
        answers = stored.answers or {}
        profile, reason = await asyncio.to_thread(profiled, stored.state.epoch, answers)
        learnt = cache.profiles[target.name] = LearntProfile(
            key=stored.key,
            profile=profile,
            reason=reason,
            answers={model: len(of) for model, of in answers.items()},
        )
    return StyleHistory(
        learnt=learnt,
        track=stored.track,
        stored=stored.state.track,
        stored_until=stored.state.learnt_until,
        counts=stored.counts,
    )


def profiled(
    epoch: BaselineEpoch, answers: Mapping[str, Sequence[AnswerText]]
) -> tuple[StyleProfile | None, str]:
    """The profile of an epoch's models, or why there is none yet."""
    others = {model: of for model, of in answers.items() if model != epoch.model}
    try:
        return learn_profile(
            epoch.model,
            answers.get(epoch.model, ()),
            others,
            epoch=epoch.number,
            verified_by=epoch.verified_by,
        ), ""
    except TooFewAnswers as reason:
        return None, str(reason)


def counters_of(target: Target, counters: Mapping[str, Counter]) -> dict[str, Counter]:
    """The tokenizers of a target's models, by their declared names."""
    return {
        model: counter
        for model in _declared(target)
        for name, counter in counters.items()
        if same(name, model)
    }


def _declared(target: Target) -> tuple[str, ...]:
    return (*target.expected_models, *target.fallback_models)


# The token counts of stored observations, which are judged again in order.


@dataclass(slots=True)
class StoredCounts:
    """The counts of stored observations of one target, in order of time."""

    history: CountHistory
    earlier: deque[tuple[datetime, TokenCount]]

    @classmethod
    async def opened(
        cls, connection: Connection, target: Target, *, at: datetime
    ) -> "StoredCounts":
        """The measures for observations from this instant on, by current knowledge."""
        names = [target.name]
        before = await baseline_answers.before(connection, names, at=at, most=REMEMBERED)
        confirmed = await baseline_answers.confirmed(connection, target.name, target.queries)
        history = CountHistory(
            learnt=calibrations_from(_declared(target), confirmed),
            seen_to_fit=(await baseline_answers.seen_to_fit(connection, names))[target.name],
        )
        counts = ((at, count) for count in before[target.name])
        return cls(history, deque(counts, REMEMBERED))

    def of(self, stored: StoredObservation) -> tuple[TokenCount | None, CountHistory]:
        """The next observation's count, if it came with one, and those before it."""
        now, at = recounted(stored.claims, stored.query), stored.started_at
        if now is None:
            return None, self.history
        fresh = [count for then, count in self.earlier if at - then <= baseline_answers.FRESH]
        if stored.origin != "manual":
            self.earlier.appendleft((at, now))
        return now, replace(self.history, earlier=fresh)
