"""Windows, verdicts, incidents, notices and their delivery."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from monitor.domain.observation import CostSource, Identity, Outcome

UNJUDGED = "Cannot be judged"  # what is true of an incident whose measurements are disturbed
ALL = "all"  # the scope of rules over everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The part of an observation that rules look at, in order of `at`.

    `round` is the slot: all samples of one round share it. `ttft_ms` is None unless a
    latency rule may judge it (degraded, aborted and rate-limited samples may not be).
    """

    id: UUID
    at: datetime
    round: datetime
    query: str
    outcome: Outcome
    ttft_ms: float | None
    identity: Identity
    model: str | None
    cost_usd: Decimal | None
    why: str = ""  # the judgement on `identity` in one sentence
    change_detected: bool = False  # the change detector recorded that it passed its threshold
    change_since: datetime | None = None  # where this answer made it pass: its first suspicion
    error: str | None = None  # why it failed, one line without our secrets; may be foreign text
    cost_low_usd: Decimal | None = None  # the range, where `cost_usd` is None and there is one
    cost_high_usd: Decimal | None = None
    recorded_at: datetime | None = None  # when it was stored; None: as soon as it was over
    confidence: float | None = None  # of `identity`, 0 to 1; None: not stated
    tpot_ms: float | None = None  # time per output token; None unless it may be judged
    compared: bool = True  # False: there is a baseline, but this answer is not suitable for it
    degraded: bool = False  # it has a TTFT, whose measurement was disturbed
    check_passed: bool | None = None  # whether the answer met its expectations; None: not checked
    check_failed: str | None = None  # the first failed check
    source_count: int | None = None  # retrieved sources; None: the stream lists none
    source_best_score: float | None = None
    source_newest_at: datetime | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    cached_tokens: int | None = None  # part of the prompt; None: not reported, which is not 0
    cost_source: CostSource | None = None  # how the tokens and the cost are known
    extra: bool = False  # sent on suspicion, between the rounds; `round` is then its own time

    @property
    def cost_ends(self) -> tuple[Decimal, Decimal] | None:
        """The least and the most it cost: equal where the model is known; None: no price."""
        if self.cost_usd is not None:
            return self.cost_usd, self.cost_usd
        if self.cost_low_usd is None or self.cost_high_usd is None:
            return None
        return self.cost_low_usd, self.cost_high_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Money of one day so far in one zone. `at_least`: something in it has no price.

    `total_usd` is certain; answers of unknown model may have cost up to `margin_usd` more.
    `of_probes`: nothing else is counted, as there is neither a traffic meter nor an account.
    """

    day: date
    starts_at: datetime
    ends_at: datetime
    total_usd: Decimal
    at_least: bool = False
    slices: tuple[
        tuple[datetime, Decimal], ...
    ] = ()  # recent spend by five minutes, in order of time
    margin_usd: Decimal = Decimal(0)
    # The bill lies so near to the sum, with 95 % confidence, by so many reconciled days.
    bill_within_usd: Decimal | None = None
    reconciled_days: int = 0
    of_probes: bool = False

    @property
    def high_usd(self) -> Decimal:
        """The most the day may have cost."""
        return self.total_usd + self.margin_usd


class Subject(StrEnum):
    """What a rule judges: the kind of its scope, and what its `judge` is given."""

    TARGET = "target"  # the last day of a target: a `Window`
    DAY = "day"  # the last days of `Spend`, then their `SpendUpperBound`; the scope is `all`
    PROBES = "probes"  # the day's own probes: `ProbeUsage`; the scope is `all`
    PROVIDER = "provider"  # the latest `AccountReading` of a provider
    CALENDAR = "calendar"  # dates ahead: a `Calendar`; the scope is `all`
    CHANNEL = "channel"  # what waits for a channel: a `DeliveryBacklog`


class VerdictState(StrEnum):
    BREACH = "breach"
    OK = "ok"  # enough is known, and all is well: an open incident may resolve
    HOLD = "hold"  # between the two: nothing changes
    NO_DATA = "no_data"  # nothing changes either; `no_data` watches for silence
    NOTICE = "notice"  # nothing is broken, yet it should be said, once per `Verdict.once`


class Severity(StrEnum):
    """How urgent a message is: `page` wakes somebody, `warn` can wait for the day, `info` informs.

    Ordered by urgency, least first.
    """

    INFO = "info"
    WARN = "warn"
    PAGE = "page"

    @property
    def rank(self) -> int:
        """0 for the least urgent."""
        return list(Severity).index(self)


class CauseOwner(StrEnum):
    """Who can fix the cause of an incident."""

    BILLING = "billing"  # the account at the provider: key, credit
    PROVIDER = "provider"  # of the model
    DEPLOYMENT = "deployment"  # of the service
    US = "us"  # the operators of this monitor
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A judgement in parts, each one line of plain English without markup; "" where unknown.

    The parts may hold foreign text. Models have their common names here; ids are among the
    facts of the verdict.
    """

    # What is wrong, read after the name of the scope: "slow: 2.5 s to first token, limit 1.2 s".
    what: str = ""
    # What it was, for its end, with `{when}` and, of a latency or a share, `{peak}` in it:
    # "slow {when}: {peak} to first token, limit 1.2 s".
    was: str = ""
    when: str = ""  # of an end with several parts or breaches: its times
    breaches: int = 1  # of an end: how often it was in breach
    restored: str = ""  # what is true again at its end: "fast enough again"
    # The words around its start, which is `{since}`, before the extent: "slow since {since}: ".
    # Empty: the start stands behind the extent.
    began: str = ""
    # How much of it: "All of the last 4 answers came from it". Of what ended other than by
    # measurements: why.
    extent: str = ""
    money: str = ""  # the ratio first: "15 × the cost: at this rate $0.62 a day, was $0.04"
    cause: str = ""  # what likely caused it
    cause_owner: CauseOwner | None = None  # who can fix that; None: not examined
    first_step: str = ""  # what to do first, where it is not the rule's usual first step
    certainty: str = ""  # in words and per cent: "very likely (97 %)", then how it is known
    usd_a_day: Decimal | None = None  # cost of the traffic of a day as it is now
    usual_usd_a_day: Decimal | None = None  # and as it was before
    of_probes: bool = False  # these costs are those of the monitor's own probes alone
    # Of a fault that several targets may share, because they cannot be reached: `what` and
    # `restored` of all of them, "do not answer: connection refused" and "answer again".
    together: str = ""
    restored_together: str = ""
    unconnected: bool = False  # no connection is made, so the fault is not of one target alone

    def updated(self, newer: "Finding") -> "Finding":
        """The newer judgement, with earlier parts where it does not state its own."""
        if not newer.what:
            return self
        return Finding(
            what=newer.what,
            was=newer.was,
            restored=newer.restored,
            began=newer.began,
            extent=newer.extent,
            money=newer.money or self.money,
            cause=newer.cause or self.cause,
            cause_owner=newer.cause_owner if newer.cause else self.cause_owner or newer.cause_owner,
            first_step=newer.first_step or self.first_step,
            certainty=newer.certainty or self.certainty,
            usd_a_day=self.usd_a_day if newer.usd_a_day is None else newer.usd_a_day,
            usual_usd_a_day=self.usual_usd_a_day
            if newer.usual_usd_a_day is None
            else newer.usual_usd_a_day,
            of_probes=newer.of_probes,
            together=newer.together,
            restored_together=newer.restored_together,
            unconnected=newer.unconnected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A rule's judgement, with the sentence that explains it and the rows that prove it."""

    rule: str
    scope: str  # a target's name, a provider's, or `all`
    state: VerdictState
    value: float | Decimal | None
    limit: float | Decimal | None
    because: str
    rows: tuple[UUID, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)  # further lines for the message
    once: str | None = None  # say at most once per such key (a day, a doubling)
    literal: bool = False  # sent as it is: resolved at once, and never reopened
    query: str = ""  # the canned query it is about, in mode "immediate"; else the whole scope
    # Start of the first bad row among those that prove a breach. Of a recovery or an end: start of
    # the first good row after the last bad one, or when the condition ended, such as a day. None:
    # when it was judged.
    since: datetime | None = None
    recovered: str = ""  # of an open incident that is not in breach now: what is true again
    finding: Finding = Finding()  # the same judgement in parts, of a breach or a notice
    severity: Severity | None = None  # of a notice that is less urgent than its rule


def incident_key(rule: str, scope: str, query: str = "") -> tuple[str, str]:
    """What at most one open incident has: its rule, and its scope or one query of it."""
    return rule, f"{scope}/{query}" if query else scope


class NoticeStatus(StrEnum):
    """The first word of every message."""

    FIRING = "FIRING"
    STILL_FIRING = "STILL FIRING"
    RESOLVED = "RESOLVED"
    NOTICE = "NOTICE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One breach from opening to resolution. At most one is open per rule and scope."""

    rule: str
    scope: str
    opened_at: datetime
    last_breach_at: datetime
    last_told_at: datetime
    value: float | Decimal | None
    limit: float | Decimal | None
    because: str
    peak: float | Decimal | None = None
    opening_value: float | Decimal | None = None
    number: int | None = None  # given by the database
    resolved_at: datetime | None = None
    reminders: int = 0
    rows: tuple[UUID, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    once: str | None = None
    told: NoticeStatus | None = (
        NoticeStatus.FIRING
    )  # what the channel believes; None: it knows nothing
    part_of: tuple[str, str] | None = None  # rule and scope of the one whose message tells of this
    reopened_at: datetime | None = None
    reopenings: int = 0
    ended: str | None = None  # the judgement that ended it, in one sentence
    query: str = ""  # the canned query it is about, in mode "immediate"; else the whole scope
    first_seen_at: datetime | None = None  # first bad row, fixed at opening; None: not known
    since: datetime | None = None  # first bad row of the opening or of the latest return
    # First good row after the latest breach; None: in breach, not judged, or not known.
    until: datetime | None = None
    opening_because: str | None = None  # the sentence it fired with, or came back with
    told_at: datetime | None = None  # when a channel first accepted an audible message of it
    announced_as: int | None = None  # the number its messages carry, where it is not its own
    recovering_since: datetime | None = None  # open, but not in breach since; None: in breach
    recovering_reason: str | None = None  # how it is meanwhile, in one sentence
    finding: Finding = Finding()  # the latest breach in parts
    # Start and end of each breach before the latest return, oldest first.
    earlier_breaches: tuple[tuple[datetime, datetime], ...] = ()
    acknowledged_at: datetime | None = None  # no reminders since then; None: not acknowledged
    acknowledged_by: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Rule, and scope with query: what at most one open incident has."""
        return incident_key(self.rule, self.scope, self.query)

    @property
    def open(self) -> bool:
        return self.resolved_at is None

    @property
    def in_breach(self) -> bool:
        """Whether it is true now: open, and no later judgement contradicts it."""
        return self.open and self.recovering_since is None

    @property
    def unjudged(self) -> bool:
        """Whether it is open only because nothing can be said of it now."""
        return self.open and (self.recovering_reason or "").startswith(UNJUDGED)

    @property
    def current_reason(self) -> str:
        """The latest judgement in one sentence, be it of the breach or of the recovery."""
        return self.recovering_reason or self.because

    @property
    def began_at(self) -> datetime:
        """Start of the breach, by its first bad row where that is known."""
        return self.first_seen_at or self.opened_at

    @property
    def breach_since(self) -> datetime:
        """Start of the breach as it stands: of the opening, or of the latest return."""
        return self.since or self.reopened_at or self.opened_at

    @property
    def breach_until(self) -> datetime | None:
        """End of the latest breach, by the first good row after it where that is known.

        A rule needs further good rows until it resolves an incident: `resolved_at` is later. None:
        in breach, or not judged.
        """
        return self.until or self.resolved_at

    @property
    def turned_at(self) -> datetime:
        """When it last opened, opened again or resolved: what is older was judged before."""
        return self.resolved_at or self.reopened_at or self.opened_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What people are notified of; each notifier renders it in its own medium.

    `sentence` is the whole judgement in one sentence; `finding`, `recovering` and `also` say the
    same in parts. `facts`, `rows` and the figures are details for those who look closer. Nothing
    here is markup.
    """

    id: UUID
    status: NoticeStatus
    rule: str
    scope: str
    sentence: str
    at: datetime
    number: int | None = None
    value: float | Decimal | None = None
    limit: float | Decimal | None = None
    since: datetime | None = None
    until: datetime | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[UUID, ...] = ()
    repeated: bool = False  # an earlier try may have arrived
    peak: float | Decimal | None = None  # worst value while open
    quiet: bool = False  # edit what stands, where the channel can; never a message of its own
    worse: bool = False  # an announced incident came back, grew, or something joined it
    severity: Severity = Severity.PAGE  # the most urgent of what it reports
    finding: Finding = Finding()  # what it is about, in parts
    recovering: str = ""  # open, but not in breach now: how it is meanwhile, in one sentence
    also: tuple[str, ...] = ()  # what else is wrong under the same number, most important first
    consequences: bool = False  # all of `also` likely follows from what the notice is about
    others: int = 0  # so many other targets share the fault
    targets: str = ""  # all targets that share it, if several; as many as fit into a line
    # Why the message reports what it is about: `new` under this number, `again` in breach, or
    # `grew`; empty: it continues.
    news: str = ""
    # What is true again of the parts that are over, each with its duration: "answers again after 12
    # min". Of an end: only if there are several parts.
    restored: str = ""
    # An answer to a person: it belongs below the incident's message, where the channel has threads.
    in_thread: bool = False
    # Ids of people who stand in the sentence as `@ID`, for the channel to show their names.
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """Accepted. `reference` is what edits the message later, where the channel can."""

    reference: str | None = None
    posted: bool = True  # False: there was nothing to send, as the channel has nothing to edit


@dataclass(frozen=True, slots=True)
class TryLater:
    reason: str
    after_s: float | None = None
    channel_wide: bool = False  # the channel as a whole must wait, not this message only
    maybe_sent: bool = False  # the channel may have taken it all the same


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str
    channel_broken: bool = False  # nothing will be taken until somebody mends the channel


Delivery = Sent | TryLater | GiveUp
