"""What is known about a target around an incident, and a sign of its likely cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from monitor.domain import AccountReading, Identity, Outcome, ProviderAttempt, Sample
from monitor.rules.cause_kinds import STATES, CauseKind

BEFORE = timedelta(hours=1)  # what is older than this is not named as the cause
DURING = timedelta(minutes=30)  # the incident's own answers and failures, from its start
AS_USUAL = 5  # rounds of usual answers after a sign that show that it was harmless


@dataclass(frozen=True, slots=True)
class AnswerRoute:
    """How an answer came about. `attempts` None: no record; `fallbacks` None: no header."""

    id: UUID
    at: datetime
    attempts: Sequence[ProviderAttempt] | None = None
    fallbacks: int | None = None  # failed attempts, as the gateway's header counts them
    header: str = ""


@dataclass(frozen=True, slots=True)
class PageChange:
    """A health page that says something else than at `before_at`, when it was last read."""

    at: datetime
    before_at: datetime
    status: int | None
    facts: Mapping[str, str | bool | None]
    status_before: int | None
    facts_before: Mapping[str, str | bool | None]


@dataclass(frozen=True, slots=True)
class ListedModel:
    """Whether a provider lists a model: the same from `at` to `checked_at`."""

    at: datetime
    checked_at: datetime
    listed: bool
    expires_on: str = ""


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A list price that is another one than at `before_at`, when it was last read.

    `expected`: of the model that is expected, else of a fallback. `more_expensive` None: some rates
    rose and others fell. `text`: the rates before and after.
    """

    model: str
    at: datetime
    before_at: datetime
    expected: bool
    more_expensive: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """A host's own figures about a model. None: not stated."""

    host: str
    uptime_percent: float | None
    ttft_ms: float | None  # median


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What a provider states about a model at all its hosts."""

    at: datetime
    hosts: Sequence[HostStatistics]


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseSources:
    """What is known about a target around an incident; each list is oldest first.

    `begun`: start of the first bad row. `accounts`: readings of the keys that the service uses,
    with the last one before the hour before the incident. `configurations`: when each
    configuration of the target but the first was first used. `charged`: the provider states what
    each answer costs.
    """

    begun: datetime
    model: str | None = None  # the expected one
    limit_ms: float | None = None  # of the incident, if it is about latency
    charged: bool = False
    samples: Sequence[Sample] = ()
    routes: Sequence[AnswerRoute] = ()
    accounts: Sequence[AccountReading] = ()
    pages: Sequence[PageChange] = ()
    configurations: Sequence[datetime] = ()
    listings: Sequence[ListedModel] = ()
    statistics: Sequence[ModelStatistics] = ()
    prices: Sequence[PriceChange] = ()


@dataclass(frozen=True, slots=True)
class CauseSign:
    """A fact that points to a cause. `at`: when it was first seen.

    `before_at`: when it was last seen otherwise; None: not known. `late`: how long after the start
    of the incident it may be seen and have come about before it. `proof`: it states why requests
    failed.
    """

    kind: CauseKind
    at: datetime
    what: str
    before_at: datetime | None = None
    late: timedelta = timedelta(0)
    proof: bool = False
    provider: str = ""  # whose key it is about

    def timely(self, begun: datetime) -> bool:
        """Whether it came about within the hour before the incident, as far as is known."""
        early = self.before_at is None or self.before_at <= begun
        return early and begun - BEFORE <= self.at <= begun + self.late

    def refuted(self, sources: CauseSources) -> bool:
        """Whether the expected model answered for rounds after what takes effect at once."""
        if self.kind not in STATES and self.kind is not CauseKind.CONFIGURATION:
            return False
        later = {
            sample.round
            for sample in sources.samples
            if self.at < sample.at < sources.begun
            and sample.outcome is Outcome.ANSWERED
            and sample.identity is Identity.EXPECTED
        }
        return len(later) >= AS_USUAL


def clock(at: datetime) -> str:
    return f"at {at.astimezone(UTC):%H:%M} UTC"
