"""Readings of provider accounts, and the observation of one probe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from monitor.domain.stream import Claim, ClaimKind, Finish, StampSource


class AccountState(StrEnum):
    OK = "ok"
    REJECTED = "rejected"  # the key is expired, disabled, wrong, or of the wrong kind
    OUT_OF_CREDIT = "out_of_credit"
    THROTTLED = "throttled"  # rate limit: try later
    FAILING = "failing"  # the provider or the network failed; this says nothing about the key


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReading:
    """One reading of a provider account. None: the provider does not say.

    `spent_today_usd` counts from the UTC midnight before `at`. `detail` is our own text for people;
    it contains nothing that a provider wrote.
    """

    provider: str
    at: datetime
    state: AccountState
    detail: str | None = None
    expires_at: datetime | None = None
    limit_usd: Decimal | None = None
    remaining_usd: Decimal | None = None
    spent_today_usd: Decimal | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProviderAttempt:
    """An attempt of a router to get an answer, as its record states it. None: not stated.

    `status` is the HTTP status of the provider `host`.
    """

    status: int | None
    host: str | None
    model: str | None


# The outcome, identity, latencies and cost of one probe.


class Outcome(StrEnum):
    ANSWERED = "answered"
    EMPTY = "empty"
    ERROR_EVENT = "error_event"
    TRUNCATED = "truncated"
    TIMEOUT_FIRST_TOKEN = "timeout_first_token"
    STALLED = "stalled"
    DEADLINE = "deadline"
    TOO_LARGE = "too_large"
    HTTP_STATUS = "http_status"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    CONTENT_TYPE = "content_type"
    PROTOCOL = "protocol"
    REFUSED = "refused"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    ABORTED = "aborted"

    @property
    def good(self) -> bool | None:
        """True, False, or None if the outcome is caused by the monitor and counts as neither."""
        if self in (Outcome.RATE_LIMITED, Outcome.ABORTED):
            return None
        return self is Outcome.ANSWERED


class Identity(StrEnum):
    EXPECTED = "expected"
    FALLBACK = "fallback"
    DISPUTED = "disputed"
    CHANGED = "changed"
    UNKNOWN = "unknown"

    @property
    def fallback(self) -> bool | None:
        """True or False if the answering model is identified, else None."""
        return {Identity.FALLBACK: True, Identity.EXPECTED: False}.get(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence for a model; `nats` are log-odds, > 0 for a fallback."""

    kind: ClaimKind
    claim: str
    nats: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class IdentityJudgement:
    """The judgement of identity. `model` None: unknown."""

    identity: Identity
    model: str | None
    confidence: float  # 0..1
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""  # one sentence for people


@dataclass(frozen=True, slots=True)
class Timing:
    """Latencies in ms; None means not measurable."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    ttfb_ms: float | None = None
    ttft_ms: float | None = None
    ttft_any_ms: float | None = None
    total_ms: float | None = None
    tpot_ms: float | None = None
    stamp: StampSource = StampSource.USER


class CostSource(StrEnum):
    PROVIDER = "provider"  # the provider's own charge
    REPORTED = "reported"  # reported tokens × price book
    ESTIMATED = "estimated"  # estimated tokens × price book


@dataclass(frozen=True, slots=True)
class Cost:
    """What one probe cost.

    `rates` are the applied rates in USD per million tokens, as text: the list price if the provider
    states its own charge.
    """

    usd: Decimal
    source: CostSource
    rates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CostRange:
    """The cost of an answer of unknown model.

    `low` is the cost on the cheapest declared model, `high` on the most expensive one with a price.
    `reason` is one sentence. `rates` are those of both ends, with the prefixes `low_` and `high_`;
    key `without_price` names what has no price (declared models, or `undeclared models` where no
    fallback is declared): then `low` is zero.
    """

    low: Decimal
    high: Decimal
    reason: str
    rates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The cost is unknown. Stored as NULL: a silent zero would blind the spend rule."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One probe as it is stored: the column names of table `observations`."""

    id: UUID
    target: str
    query: str
    origin: str  # round | manual | burst
    region: str
    worker: str
    slot: datetime
    started_at: datetime
    outcome: Outcome
    error: str | None
    http_status: int | None
    dialect: str
    instrument: int  # increased whenever a definition of a measurement changes
    config_hash: str
    stamp: StampSource
    lag_ms: float | None
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    ttfb_ms: float | None
    ttft_ms: float | None
    ttft_any_ms: float | None
    total_ms: float | None
    tpot_ms: float | None
    pieces: int
    chunk_lengths: tuple[int, ...]
    answer_chars: int
    answer_sha256: str | None
    answer_excerpt: str | None
    prompt_tokens: int | None
    answer_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    model_disclosed: str | None
    model_detected: str | None
    identity: Identity
    confidence: float
    evidence: tuple[Evidence, ...]
    claims: tuple[Claim, ...]
    cost_usd: Decimal | None
    cost_source: CostSource | None
    cost_reason: str | None  # why there is no price, or only a range
    rates: Mapping[str, str]
    identity_reason: str = ""  # the judgement in one sentence
    faults: tuple[str, ...] = ()
    cost_low_usd: Decimal | None = None  # the range, where `cost_usd` is None and there is one
    cost_high_usd: Decimal | None = None
    finish: Finish | None = None  # why the answer ended
    source_count: int | None = None  # None: the protocol lists no sources
    source_best_score: float | None = None
    source_newest_at: datetime | None = None
    check_passed: bool | None = None  # whether the answer met its expectations; None: not checked
    check_failed: str | None = None  # the first failed check, one line; may quote the answer

    @property
    def cost_ends(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest possible cost: equal if the model is known."""
        if self.cost_usd is not None:
            return self.cost_usd, self.cost_usd
        return self.cost_low_usd or Decimal(0), self.cost_high_usd or Decimal(0)
