"""The likely cause of an incident and who can fix it, from everything that is stored about it.

Each source gives signs: a fact, when it came about, and the cause that it points to. A sign counts
if it is not older than an hour before the incident, and not later than its start. What states why
requests failed (the provider's status, the service's error) proves a cause; what happened nearby
(a deployment, a change of configuration) only suggests one. Signs of different causes contradict
each other, and so does a later reading that shows the opposite: then the cause is not known.

Source: docs/alerts.md#likely-cause
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from monitor.domain import AccountState, CauseOwner, Identity, Outcome, Verdict
from monitor.rules.cause_kinds import (
    FIRST_STEPS,
    HOW,
    OF_SERVICE,
    OUTAGES,
    OWNERS,
    PROVIDERS,
    REJECTIONS,
    STATES,
    CauseKind,
)
from monitor.rules.cause_signs import (
    OPENROUTER,
    SOURCES,
    UP_PERCENT,
    fastest_ms,
    uptimes_of,
)
from monitor.rules.cause_sources import BEFORE, DURING, CauseSources, clock
from monitor.rules.page_signs import PAGE_LATE


@dataclass(frozen=True, slots=True)
class LikelyCause:
    """One sentence without a full stop, and who can fix it."""

    kind: CauseKind | None  # None: the signs contradict each other
    sentence: str

    @property
    def owner(self) -> CauseOwner:
        return OWNERS[self.kind] if self.kind else CauseOwner.CANNOT_TELL

    @property
    def first_step(self) -> str:
        return FIRST_STEPS[self.kind] if self.kind else ""


class CauseKey(NamedTuple):
    """An open incident, as far as its cause depends on it."""

    target: str
    rule: str
    query: str
    since: datetime  # of the breach; a return is another one


@dataclass(frozen=True, slots=True)
class KnownCause:
    """What was found at `at`; None: nothing."""

    found: LikelyCause | None
    at: datetime


KnownCauses = dict[CauseKey, KnownCause]


def explained(verdict: Verdict, found: LikelyCause | None) -> Verdict:
    """The verdict with its likely cause, if there is one, and its owner."""
    if found is None:
        unknown = replace(verdict.finding, cause_owner=CauseOwner.CANNOT_TELL)
        return replace(verdict, finding=unknown)
    finding = replace(
        verdict.finding,
        cause_owner=found.owner,
        first_step=found.first_step or verdict.finding.first_step,
    )
    return caused(replace(verdict, finding=finding), found.sentence)


def caused(verdict: Verdict, cause: str) -> Verdict:
    """The verdict with one more likely cause before those that it already has."""
    finding = verdict.finding
    whole = "; ".join(filter(None, (cause, finding.cause)))
    return replace(verdict, finding=replace(finding, cause=whole))


def likely_cause(verdict: Verdict, sources: CauseSources) -> LikelyCause | None:
    """What likely caused a breach; None if nothing is known about it."""
    rows = set(verdict.rows)
    if rows and not any(sample.id in rows for sample in sources.samples):
        return None  # the rows are of a later time: what they prove cannot be seen here
    served = _served(verdict, sources)
    signs = [
        sign
        for source in SOURCES
        for sign in source(verdict, sources)
        if sign.timely(sources.begun) and not sign.refuted(sources)
        if sign.kind in OF_SERVICE or not served
    ]
    why = [sign for sign in signs if sign.kind not in HOW]
    if not why:
        return LikelyCause(signs[0].kind, signs[0].what) if signs else None
    proven = [sign for sign in why if sign.proof or sign.kind in STATES]
    chosen = proven if any(sign.proof for sign in why) else why
    kinds = {sign.kind for sign in chosen}
    keys = {(sign.kind, sign.provider) for sign in chosen}
    against = dict[tuple[CauseKind, str], str]()
    for kind, key, text in _counter_signs(sources):
        if (kind, key) in keys:
            against.setdefault((kind, key), text)  # the first of many readings is enough
    if against or not (len(kinds) == 1 or kinds <= PROVIDERS):
        reported = "; ".join(dict.fromkeys([*(sign.what for sign in chosen), *against.values()]))
        return LikelyCause(None, f"cannot tell, the evidence disagrees: {reported}")
    first = next((sign for sign in chosen if sign.proof), max(chosen, key=lambda sign: sign.at))
    if first.kind is CauseKind.DEPLOYMENT:  # the nearest of several
        return LikelyCause(first.kind, first.what)
    return LikelyCause(first.kind, "; ".join(dict.fromkeys(sign.what for sign in chosen)))


def _served(verdict: Verdict, sources: CauseSources) -> bool:
    """Whether the expected model gave all answers of an incident that is not about their latency.

    Then its key, its credit and its provider work.
    """
    rows = set(verdict.rows)
    proof = [sample for sample in sources.samples if sample.id in rows]
    return (
        sources.limit_ms is None
        and all(
            sample.outcome is Outcome.ANSWERED and sample.identity is Identity.EXPECTED
            for sample in proof
        )
        and bool(proof)
    )


def _counter_signs(sources: CauseSources) -> Iterator[tuple[CauseKind, str, str]]:
    """Readings since the start of the incident that show the opposite of a cause.

    Kind, provider of a key, and what was read. A key that was renewed meanwhile was the cause.
    """
    begun = sources.begun
    refused: set[str] = set()
    for reading in sources.accounts:
        expired = reading.expires_at is not None and reading.expires_at <= reading.at
        if expired or (reading.state in REJECTIONS and reading.at >= begun - BEFORE):
            refused.add(reading.provider)
        good = reading.state is AccountState.OK and reading.provider not in refused
        if good and begun <= reading.at <= begun + DURING:
            text = f"{reading.provider} accepted the key, {clock(reading.at)}"
            yield from ((kind, reading.provider, text) for kind in REJECTIONS.values())
    for listing in sources.listings:
        if listing.listed and listing.at <= begun + DURING and listing.checked_at > begun:
            text = f"the provider still lists the model, {clock(listing.checked_at)}"
            yield CauseKind.MODEL_REMOVED, "", text
    for read in sources.statistics:
        uptimes = uptimes_of(read)
        fastest, limit = fastest_ms(read), sources.limit_ms
        slow = fastest is not None and limit is not None and fastest > limit
        settled = begun + PAGE_LATE <= read.at <= begun + DURING
        if settled and not slow and uptimes and min(uptimes) >= UP_PERCENT:
            text = f"the provider's own statistics are normal ({min(uptimes):.0f} % uptime)"
            yield from ((kind, of, text) for kind in OUTAGES for of in ("", OPENROUTER))
