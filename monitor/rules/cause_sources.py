"""What is known about a target around an incident: the sources of its likely cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from monitor.domain import AccountReading, ProviderAttempt, Sample


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

    `expected`: of the model that is expected, else of a fallback. `dearer` None: some rates rose
    and others fell. `text`: the rates before and after.
    """

    model: str
    at: datetime
    before_at: datetime
    expected: bool
    dearer: bool | None
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
