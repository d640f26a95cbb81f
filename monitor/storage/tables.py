"""The tables, with the invariants that the database itself enforces.

Comments on columns are part of the product: people write SQL against these names.
"""

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

from monitor import domain

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

INSTANT = DateTime(timezone=True)
MONEY = Numeric(20, 12)


_SPANS = {  # ms; NULL: not measurable
    "lag_ms": "longest delay of the worker's event loop during the probe",
    "dns_ms": "name resolution",
    "connect_ms": "start until the connection is ready, including dns and tls",
    "tls_ms": "TLS handshake",
    "ttfb_ms": "request sent to response head",
    "ttft_ms": "request sent to first answer text",
    "ttft_any_ms": "request sent to first text, including reasoning",
    "total_ms": "request sent to last answer text",
    "tpot_ms": "time per output token after the first",
}
_COUNTS = {
    "prompt_tokens": "prompt tokens used for the cost; NULL: not known",
    "answer_tokens": "answer tokens used for the cost, including reasoning; NULL: not known",
    "reasoning_tokens": "part of answer_tokens",
    "cached_tokens": "part of prompt_tokens",
    "cache_write_tokens": "part of prompt_tokens, written to the provider's cache",
}


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", column)


observations = Table(
    "observations",
    metadata,
    Column("id", Uuid, nullable=False, comment="sent as X-Request-Id"),
    Column("target", Text, nullable=False, comment="name of the target"),
    Column("query", Text, nullable=False, comment="id of the canned query"),
    Column(
        "origin",
        Text,
        nullable=False,
        comment="round: scheduled; burst: to confirm a suspected change; manual: by a person",
    ),
    Column("region", Text, nullable=False, comment="where the probe was sent from"),
    Column("worker", Text, nullable=False, comment="machine that sent the probe"),
    Column("slot", INSTANT, nullable=False, comment="scheduled time of the round, UTC"),
    Column(
        "started_at", INSTANT, nullable=False, comment="start of the probe, by the worker's clock"
    ),
    Column(
        "recorded_at",
        INSTANT,
        nullable=False,
        server_default=func.now(),
        comment="when the row was stored, by the database's clock",
    ),
    Column(
        "outcome", Text, nullable=False, comment="how the probe ended: docs/metrics.md#outcomes"
    ),
    Column("error", Text, comment="reason of a failure, for people; NULL: answered"),
    Column("http_status", SmallInteger, comment="HTTP status; NULL: no response head"),
    Column("dialect", Text, nullable=False, comment="wire format"),
    Column(
        "instrument",
        SmallInteger,
        nullable=False,
        comment="version of the definitions of what is measured",
    ),
    Column("config_hash", Text, nullable=False, comment="configuration in force"),
    Column(
        "stamp",
        Text,
        nullable=False,
        comment=(
            "source of the timestamps: kernel, user or degraded; latency rules "
            "ignore degraded samples"
        ),
    ),
    *(
        Column(name, Double, comment=f"{what}, ms; NULL: not measurable")
        for name, what in _SPANS.items()
    ),
    Column("pieces", Integer, nullable=False, comment="number of answer deltas received"),
    Column(
        "chunk_lengths",
        ARRAY(Integer),
        nullable=False,
        comment="characters of each answer delta",
    ),
    Column("answer_chars", Integer, nullable=False, comment="characters of the whole answer"),
    Column("answer_sha256", Text, comment="of the whole answer, hexadecimal"),
    Column(
        "answer_excerpt", Text, comment="start of the answer, without secrets; kept for some days"
    ),
    *(Column(name, Integer, comment=what) for name, what in _COUNTS.items()),
    Column("model_disclosed", Text, comment="model name in the response; NULL: none"),
    Column(
        "model_detected", Text, comment="model that answered, by all evidence; NULL: not identified"
    ),
    Column("identity", Text, nullable=False, comment="judgement against the expected models"),
    Column(
        "fallback",
        Boolean,
        Computed(
            "CASE identity WHEN 'fallback' THEN true WHEN 'expected' THEN false END", persisted=True
        ),
        comment="derived from identity; NULL: neither expected nor fallback",
    ),
    Column("confidence", Double, nullable=False, comment="confidence of the identity, 0 to 1"),
    Column(
        "identity_reason",
        Text,
        nullable=False,
        server_default="",
        comment="reason of the judgement, one sentence",
    ),
    Column(
        "evidence",
        JSONB,
        nullable=False,
        comment="list of {kind, claim, nats, detail}; nats: log-odds, above 0 for a fallback",
    ),
    Column(
        "claims",
        JSONB,
        nullable=False,
        comment="list of {kind, source, value}, unchanged, so that identity can be derived again",
    ),
    Column("cost_usd", MONEY, comment="USD; NULL: cannot be priced, never 0"),
    Column("cost_source", Text, comment="order of trust: provider, reported, estimated"),
    Column("cost_reason", Text, comment="reason if there is no price, or only a range"),
    Column("rates", JSONB, nullable=False, comment="rates used, as text, USD per million tokens"),
    Column(
        "faults",
        ARRAY(Text),
        nullable=False,
        comment="stream warnings, e.g. a gap in the numbering",
    ),
    Column(
        "cost_low_usd",
        MONEY,
        comment=(
            "lower end of the cost if the model is unknown, USD: on the cheapest "
            "declared model; NULL: cost_usd is known, or there is no range"
        ),
    ),
    Column(
        "cost_high_usd",
        MONEY,
        comment=(
            "upper end of the cost, USD: on the most expensive declared model; "
            "NULL: as cost_low_usd"
        ),
    ),
    Column(
        "finish",
        Text,
        comment="why the answer ended: docs/metrics.md#finish; NULL: not stated",
    ),
    Column(
        "source_count",
        Integer,
        comment="number of retrieved sources in the stream; NULL: the protocol lists none",
    ),
    Column(
        "source_best_score", Double, comment="best score of the sources; NULL: none has a score"
    ),
    Column(
        "source_newest_at", INSTANT, comment="newest date of the sources; NULL: none has a date"
    ),
    Column(
        "derived_at",
        INSTANT,
        comment="when identity and cost were last derived again, or the row was restored, "
        "database clock; NULL: never",
    ),
    Column(
        "check_passed",
        Boolean,
        comment="whether the answer met its query's expectations; NULL: not checked",
    ),
    Column("check_failed", Text, comment="first failed check; NULL: none failed"),
    PrimaryKeyConstraint("slot", "id"),
    CheckConstraint("origin IN ('round', 'burst', 'manual')", "origin"),
    _one_of("outcome", domain.Outcome),
    _one_of("stamp", domain.StampSource),
    _one_of("identity", domain.Identity),
    _one_of("cost_source", domain.CostSource),
    *(CheckConstraint(f"{name} >= 0 AND {name} < 'Infinity'", name) for name in _SPANS),
    *(CheckConstraint(f"{name} >= 0", name) for name in _COUNTS),
    CheckConstraint("confidence BETWEEN 0 AND 1", "confidence"),
    CheckConstraint("cost_usd >= 0 AND cost_usd < 'NaN'", "cost_usd"),
    CheckConstraint("(cost_usd IS NULL) = (cost_source IS NULL)", "cost_has_source"),
    CheckConstraint(
        "(cost_low_usd IS NULL) = (cost_high_usd IS NULL) "
        "AND (cost_low_usd IS NULL OR (cost_usd IS NULL AND cost_low_usd >= 0 "
        "AND cost_low_usd <= cost_high_usd AND cost_high_usd < 'NaN'))",
        "cost_range",
        postgresql_not_valid=True,  # rows from before it have no range
    ),
    Index(
        "uq_observations_round",
        "target",
        "region",
        "query",
        "slot",
        unique=True,
        postgresql_where=text("origin = 'round'"),
    ),
    Index("ix_observations_id", "id"),
    Index("ix_observations_target_started_at", "target", "started_at"),
    Index(
        "ix_observations_derived_at",
        "derived_at",
        postgresql_where=text("derived_at IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (slot)",
    comment=(
        "one row per probe; measured columns never change, identity and cost "
        "may be derived again; partitioned by month of slot"
    ),
)

slots = Table(
    "slots",
    metadata,
    Column("target", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("slot", INSTANT, nullable=False, comment="scheduled time of the round, UTC"),
    Column("worker", Text, nullable=False, comment="worker that claimed the round"),
    Column("claimed_at", INSTANT, nullable=False, server_default=func.now()),
    Column(
        "finished_at", INSTANT, comment="when the round ended; NULL: running, or the worker died"
    ),
    Column("missed", Text, comment="why the round was not probed completely; NULL: it was"),
    PrimaryKeyConstraint("target", "region", "slot"),
    comment="one row per round and region; the worker that inserts it probes the round",
)

incidents = Table(
    "incidents",
    metadata,
    Column(
        "number",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="number of the incident",
    ),
    Column("rule", Text, nullable=False),
    Column("target", Text, nullable=False, comment="scope: a target, a provider, or all"),
    Column(
        "query",
        Text,
        nullable=False,
        server_default="",
        comment='canned query of the incident in mode "immediate"; empty: the whole scope',
    ),
    Column("opened_at", INSTANT, nullable=False),
    Column("resolved_at", INSTANT, comment="NULL: open"),
    Column("last_breach_at", INSTANT, nullable=False),
    Column("last_told_at", INSTANT, nullable=False),
    Column("value", Numeric, comment="latest value, in the rule's unit"),
    Column("opening_value", Numeric, comment="value at opening, in the rule's unit"),
    Column("peak", Numeric, comment="worst value while open, in the rule's unit"),
    Column("limit_value", Numeric, comment="limit in force, in the rule's unit"),
    Column("because", Text, nullable=False, comment="reason of the judgement, one sentence"),
    Column(
        "observations", ARRAY(Uuid), nullable=False, comment="ids of the observations that prove it"
    ),
    Column("facts", JSON, nullable=False, comment="further facts, in the order of the message"),
    Column("reminders", Integer, nullable=False, server_default="0"),
    Column("once", Text, comment="key of a notice that is sent at most once, e.g. the day"),
    Column("ended", Text, comment="reason of the end, one sentence"),
    Column(
        "told",
        Text,
        comment="state that was last reported to the channel; NULL: nothing was reported",
    ),
    Column("reopened_at", INSTANT, comment="when it last reopened, soon after a resolution"),
    Column("reopenings", Integer, nullable=False, server_default="0"),
    Column(
        "part_of",
        BigInteger,
        ForeignKey("incidents.number"),
        comment="incident whose message also covers this one; NULL: it has its own",
    ),
    Column(
        "first_seen_at",
        INSTANT,
        comment="start of the first bad observation of the breach, set at opening; NULL: not known",
    ),
    Column(
        "since",
        INSTANT,
        comment="start of the first bad observation of the opening or of the latest reopening",
    ),
    Column(
        "opening_because", Text, comment="reason at its opening or latest reopening, one sentence"
    ),
    Column(
        "told_at",
        INSTANT,
        comment="when a channel first accepted an audible message about it; NULL: never",
    ),
    Column(
        "announced_as",
        BigInteger,
        ForeignKey("incidents.number"),
        comment="incident number in its messages; NULL: its own",
    ),
    Column(
        "recovering_since",
        INSTANT,
        comment="open, but not in breach since this time; NULL: in breach, or resolved",
    ),
    Column("recovering_reason", Text, comment="state during the recovery, one sentence"),
    Column(
        "finding",
        JSON,
        nullable=False,
        server_default="{}",
        comment=(
            "the latest breach in parts: what, extent, money, cause, cause_owner, first_step, "
            "certainty"
        ),
    ),
    Column(
        "earlier_breaches",
        ARRAY(INSTANT, dimensions=2),
        comment="start and end of each breach before the latest reopening; NULL: never reopened",
    ),
    Column("until", INSTANT, comment="first good observation after the latest breach; NULL: none"),
    CheckConstraint("resolved_at >= opened_at", "resolved_after_opened"),
    Index(
        "uq_incidents_open",
        "rule",
        "target",
        "query",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index("ix_incidents_opened_at", "opened_at"),
    comment="breaches from opening to resolution; at most one open per rule and scope",
)

outbox = Table(
    "outbox",
    metadata,
    Column(
        "id",
        Uuid,
        primary_key=True,
        comment="derived from the content, so that the same notice is stored once",
    ),
    Column(
        "news",
        Uuid,
        index=True,
        comment="id of the notice, shared by its rows in all channels; NULL: id of the row",
    ),
    Column(
        "channel",
        Text,
        nullable=False,
        server_default="slack",
        comment="name of the channel; empty: no channel accepts it",
    ),
    Column(
        "sequence", BigInteger, Identity(always=True), nullable=False, comment="order of sending"
    ),
    Column(
        "incident",
        BigInteger,
        ForeignKey("incidents.number"),
        comment="number of the incident; NULL: a notice without an incident",
    ),
    Column(
        "incidents",
        ARRAY(BigInteger),
        nullable=False,
        server_default="{}",
        comment="numbers of the incidents the message reports",
    ),
    Column("status", Text, nullable=False, comment="FIRING, STILL FIRING, RESOLVED or NOTICE"),
    Column("notice", JSON, nullable=False, comment="content of the notice"),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Column(
        "due_at",
        INSTANT,
        nullable=False,
        comment="not sent before this time; a lease moves it forward",
    ),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("settled_at", INSTANT, comment="when it was settled; NULL: to be sent"),
    Column("result", Text, comment="how the row was settled"),
    Column("reference", Text, comment="reference for editing the message, if the channel can edit"),
    Column("last_error", Text, comment="error of the latest attempt, without secrets"),
    Column(
        "maybe_sent",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="a response was lost, so the message may appear twice",
    ),
    CheckConstraint("result IN ('sent', 'dead', 'merged', 'closed')", "result"),
    CheckConstraint("(settled_at IS NULL) = (result IS NULL)", "settled_has_result"),
    Index("ix_outbox_due", "channel", "due_at", postgresql_where=text("settled_at IS NULL")),
    Index("ix_outbox_incident", "incident", "sequence"),
    comment=(
        "notices to send, one row per channel, written in the transaction of "
        "the change that they report"
    ),
)

account_readings = Table(
    "account_readings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("at", INSTANT, nullable=False, comment="when it was read"),
    Column(
        "state",
        Text,
        nullable=False,
        comment=(
            "ok, rejected, out_of_credit, throttled (our requests), failing (the "
            "provider or the network)"
        ),
    ),
    Column("detail", Text, comment="reason for the state, for people"),
    Column("expires_at", INSTANT, comment="when the key expires; NULL: never, or not stated"),
    Column("limit_usd", MONEY, comment="spending limit of the key; NULL: none, or not stated"),
    Column("remaining_usd", MONEY, comment="remainder of the limit; NULL: not stated"),
    Column(
        "spent_today_usd", MONEY, comment="spent since the preceding UTC midnight; NULL: not stated"
    ),
    _one_of("state", domain.AccountState),
    Index("ix_account_readings_provider_at", "provider", "at"),
    comment="state of provider accounts as the providers report it",
)

incident_actions = Table(
    "incident_actions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "incident",
        BigInteger,
        ForeignKey("incidents.number"),
        nullable=False,
        comment="number of the incident in messages",
    ),
    Column("action", Text, nullable=False, comment="acknowledge, mute or chart"),
    Column(
        "actor",
        Text,
        nullable=False,
        comment="id of the person in the channel; by command: the name given",
    ),
    Column("name", Text, comment="name of the person; NULL: not known"),
    Column(
        "nth",
        Integer,
        nullable=False,
        comment="ordinal number of this action by this person, from 1",
    ),
    Column("channel", Text, comment="channel of the reaction; NULL: by command"),
    Column("reference", Text, comment="message of the reaction; NULL: by command"),
    Column(
        "at",
        INSTANT,
        nullable=False,
        server_default=func.now(),
        comment="when the action was received and took effect",
    ),
    Column("removed_at", INSTANT, comment="when the reaction was found removed; NULL: present"),
    Column("undone_at", INSTANT, comment="when the action ceased to be in effect; NULL: in effect"),
    Column("undone_by", Text, comment="who undid the action; NULL: not undone, or expired"),
    Column(
        "attempts",
        Integer,
        nullable=False,
        server_default="0",
        comment="attempts to post the chart",
    ),
    Column("done_at", INSTANT, comment="when the chart was posted or given up"),
    Column("failure", Text, comment="why the chart was given up; NULL: it was not"),
    CheckConstraint("action IN ('acknowledge', 'mute', 'chart')", "action"),
    UniqueConstraint("incident", "action", "actor", "nth"),
    comment="actions of people on incidents: who, what, when, and until when; kept without limit",
)

mutes = Table(
    "mutes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("rule", Text, nullable=False, comment="a rule, or all"),
    Column("target", Text, nullable=False, comment="a scope, or all"),
    Column("reason", Text, nullable=False),
    Column("muted_by", Text, nullable=False),
    Column("muted_at", INSTANT, nullable=False, server_default=func.now()),
    Column(
        "until",
        INSTANT,
        nullable=False,
        comment="end of the silence; unmuting sets it to the present",
    ),
    Column(
        "action",
        BigInteger,
        ForeignKey("incident_actions.id"),
        comment="action on an incident that created it; NULL: by command",
    ),
    Index("ix_mutes_until", "until"),
    comment="silences by people: who, why, until when; kept without limit",
)

channels = Table(
    "channels",
    metadata,
    Column("channel", Text, primary_key=True),
    Column(
        "paused_until", INSTANT, comment="end of the wait that the service requested (HTTP 429)"
    ),
    Column(
        "broken_since",
        INSTANT,
        comment="when the channel began to reject all messages; checked again each hour",
    ),
    Column("broken_why", Text),
    Column("last_sent_at", INSTANT),
    Column(
        "configured_at", INSTANT, comment="when a worker last had the channel in its configuration"
    ),
    comment="state of each channel",
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True, comment="task that one worker does at a time"),
    Column("holder", Text, nullable=False),
    Column(
        "until",
        INSTANT,
        nullable=False,
        comment="another worker may take the lease after this time",
    ),
    Column(
        "fence",
        BigInteger,
        nullable=False,
        comment="fencing number: increases with every change of holder",
    ),
    comment="leases with an expiry; unlike advisory locks, they work behind a transaction pooler",
)
