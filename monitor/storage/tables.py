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
    "lag_ms": "worst lateness of our own loop during the probe",
    "dns_ms": "name resolution",
    "connect_ms": "start to connection ready, dns and tls included",
    "tls_ms": "TLS handshake",
    "ttfb_ms": "request sent to response head",
    "ttft_ms": "request sent to first answer text",
    "ttft_any_ms": "request sent to first text, reasoning included",
    "total_ms": "request sent to last answer text",
    "tpot_ms": "time per output token after the first",
}
_COUNTS = {
    "prompt_tokens": "as priced; NULL: not known",
    "answer_tokens": "as priced, reasoning included; NULL: not known",
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
    Column("id", Uuid, nullable=False, comment="went out as X-Request-Id"),
    Column("target", Text, nullable=False, comment="name of the watched service"),
    Column("query", Text, nullable=False, comment="id of the canned query"),
    Column(
        "origin",
        Text,
        nullable=False,
        comment="round: by schedule; burst: on suspicion; manual: by a person",
    ),
    Column("region", Text, nullable=False, comment="where the probe was sent from"),
    Column("worker", Text, nullable=False, comment="machine that sent it"),
    Column("slot", INSTANT, nullable=False, comment="scheduled time of the round, UTC"),
    Column("started_at", INSTANT, nullable=False, comment="start of the probe, worker's clock"),
    Column(
        "recorded_at",
        INSTANT,
        nullable=False,
        server_default=func.now(),
        comment="stored, database's clock",
    ),
    Column(
        "outcome", Text, nullable=False, comment="how the probe ended: docs/metrics.md#outcomes"
    ),
    Column("error", Text, comment="why, for a person; NULL when answered"),
    Column("http_status", SmallInteger, comment="NULL: no response head"),
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
        comment="who timed the bytes; degraded samples are judged by no latency rule",
    ),
    *(
        Column(name, Double, comment=f"{what}, ms; NULL: not measurable")
        for name, what in _SPANS.items()
    ),
    Column("pieces", Integer, nullable=False, comment="runs of answer text received"),
    Column(
        "chunk_lengths",
        ARRAY(Integer),
        nullable=False,
        comment="characters of each run of answer text",
    ),
    Column("answer_chars", Integer, nullable=False, comment="characters of the whole answer"),
    Column("answer_sha256", Text, comment="of the whole answer, hexadecimal"),
    Column("answer_excerpt", Text, comment="start of the answer, scrubbed; kept for days only"),
    *(Column(name, Integer, comment=what) for name, what in _COUNTS.items()),
    Column("model_disclosed", Text, comment="name the response itself gives; NULL: none"),
    Column("model_detected", Text, comment="who answered, by all evidence; NULL: nobody can tell"),
    Column("identity", Text, nullable=False, comment="judgement against the models expected"),
    Column(
        "fallback",
        Boolean,
        Computed(
            "CASE identity WHEN 'fallback' THEN true WHEN 'expected' THEN false END", persisted=True
        ),
        comment="derived from identity; NULL counts as neither side",
    ),
    Column("confidence", Double, nullable=False, comment="of the identity, 0 to 1"),
    Column(
        "identity_reason",
        Text,
        nullable=False,
        server_default="",
        comment="the judgement in one sentence",
    ),
    Column("evidence", JSONB, nullable=False, comment="list of {kind, claim, nats, detail}"),
    Column(
        "claims",
        JSONB,
        nullable=False,
        comment="list of {kind, source, value}: raw, so that identity can be derived again",
    ),
    Column("cost_usd", MONEY, comment="USD; NULL: cannot be priced, never 0"),
    Column("cost_source", Text, comment="order of trust: provider, reported, estimated"),
    Column("cost_reason", Text, comment="why there is no price, or only a range"),
    Column("rates", JSONB, nullable=False, comment="rates used, USD per million tokens, as text"),
    Column(
        "faults",
        ARRAY(Text),
        nullable=False,
        comment="oddities that cost nothing, e.g. a gap in the numbering",
    ),
    Column(
        "cost_low_usd",
        MONEY,
        comment="USD on the cheapest declared model, of an answer of unknown model; NULL: "
        "cost_usd is known, or there is no range",
    ),
    Column(
        "cost_high_usd",
        MONEY,
        comment="USD on the most expensive declared model; NULL where cost_low_usd is",
    ),
    Column(
        "finish",
        Text,
        comment="why the answer ended: docs/metrics.md#finish; NULL: the stream says nothing",
    ),
    Column(
        "source_count",
        Integer,
        comment="retrieved sources the stream lists; NULL: the protocol lists none",
    ),
    Column("source_best_score", Double, comment="best score of these; NULL: none has a score"),
    Column("source_newest_at", INSTANT, comment="newest date of these; NULL: none has a date"),
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
    postgresql_partition_by="RANGE (slot)",
    comment="one row a probe; raw columns never change, identity and cost may be derived again; "
    "partitioned by month of slot",
)

slots = Table(
    "slots",
    metadata,
    Column("target", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("slot", INSTANT, nullable=False, comment="scheduled time of the round, UTC"),
    Column("worker", Text, nullable=False, comment="who claimed it"),
    Column("claimed_at", INSTANT, nullable=False, server_default=func.now()),
    Column("finished_at", INSTANT, comment="NULL: running, or the worker died"),
    Column("missed", Text, comment="why the round was not asked whole; NULL: it was"),
    PrimaryKeyConstraint("target", "region", "slot"),
    comment="one row a round and region: whoever inserts it asks the round",
)

incidents = Table(
    "incidents",
    metadata,
    Column(
        "number",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="what people say aloud",
    ),
    Column("rule", Text, nullable=False),
    Column("target", Text, nullable=False, comment="scope: a target, a provider, or all"),
    Column(
        "query",
        Text,
        nullable=False,
        server_default="",
        comment='canned query it is about, in mode "immediate"; empty: the whole scope',
    ),
    Column("opened_at", INSTANT, nullable=False),
    Column("resolved_at", INSTANT, comment="NULL: open"),
    Column("last_breach_at", INSTANT, nullable=False),
    Column("last_told_at", INSTANT, nullable=False),
    Column("value", Numeric, comment="latest judged value, in the rule's unit"),
    Column("opening_value", Numeric, comment="value that opened it"),
    Column("peak", Numeric, comment="worst value while open"),
    Column("limit_value", Numeric, comment="limit in force, in the rule's unit"),
    Column("because", Text, nullable=False, comment="the judgement in one sentence"),
    Column("observations", ARRAY(Uuid), nullable=False, comment="ids of the rows that prove it"),
    Column("facts", JSON, nullable=False, comment="further facts, in the order told"),
    Column("reminders", Integer, nullable=False, server_default="0"),
    Column("once", Text, comment="key of what is said at most once, e.g. the day"),
    Column("ended", Text, comment="the judgement that ended it, in one sentence"),
    Column("told", Text, comment="what the channel believes; NULL: it was told nothing"),
    Column("reopened_at", INSTANT, comment="latest breach soon after a resolution"),
    Column("reopenings", Integer, nullable=False, server_default="0"),
    Column(
        "part_of",
        BigInteger,
        ForeignKey("incidents.number"),
        comment="the incident whose message tells of this one, too",
    ),
    Column(
        "first_seen_at",
        INSTANT,
        comment="start of the first bad row of the breach, fixed at opening; NULL: not known",
    ),
    Column(
        "since",
        INSTANT,
        comment="start of the first bad row of the opening or of the latest return",
    ),
    Column("opening_because", Text, comment="the sentence it fired with, or came back with"),
    Column(
        "told_at",
        INSTANT,
        comment="when a channel first accepted an audible message about it; NULL: never",
    ),
    Column(
        "announced_as",
        BigInteger,
        ForeignKey("incidents.number"),
        comment="the number its messages carry; NULL: its own",
    ),
    Column(
        "recovering_since",
        INSTANT,
        comment="open, but not in breach since then; NULL: in breach, or resolved",
    ),
    Column("recovering_reason", Text, comment="how it is meanwhile, in one sentence"),
    Column(
        "finding",
        JSON,
        nullable=False,
        server_default="{}",
        comment="the latest breach in parts: what, extent, money, cause, first_step, certainty",
    ),
    Column(
        "earlier_breaches",
        ARRAY(INSTANT, dimensions=2),
        comment="start and end of each breach before the latest return; NULL: it never came back",
    ),
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
        comment="follows from what is told: the same news is written once",
    ),
    Column(
        "news",
        Uuid,
        index=True,
        comment="id of the notice, which its rows in all channels share; NULL: that of the row",
    ),
    Column(
        "channel",
        Text,
        nullable=False,
        server_default="slack",
        comment="the channel it is for; empty: no channel takes it",
    ),
    Column(
        "sequence", BigInteger, Identity(always=True), nullable=False, comment="order of telling"
    ),
    Column("incident", BigInteger, ForeignKey("incidents.number"), comment="NULL: a notice"),
    Column(
        "incidents",
        ARRAY(BigInteger),
        nullable=False,
        server_default="{}",
        comment="numbers of the incidents the message reports",
    ),
    Column("status", Text, nullable=False, comment="FIRING, STILL FIRING, RESOLVED or NOTICE"),
    Column("notice", JSON, nullable=False, comment="what is to be told, facts in order"),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Column("due_at", INSTANT, nullable=False, comment="not before; a lease moves it ahead"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("settled_at", INSTANT, comment="NULL: still to be told"),
    Column("result", Text, comment="how it was settled"),
    Column("reference", Text, comment="what edits the message later, where the channel can"),
    Column("last_error", Text, comment="of the latest try, secrets removed"),
    Column(
        "maybe_sent",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="a reply was lost: the message may appear twice",
    ),
    CheckConstraint("result IN ('sent', 'dead', 'merged', 'closed')", "result"),
    CheckConstraint("(settled_at IS NULL) = (result IS NULL)", "settled_has_result"),
    Index("ix_outbox_due", "channel", "due_at", postgresql_where=text("settled_at IS NULL")),
    Index("ix_outbox_incident", "incident", "sequence"),
    comment="what is to be told, a row for each channel; written with the transition it tells of, "
    "in one transaction",
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
        comment="ok, rejected, out_of_credit, throttled "
        "(about us), failing (the provider, or the way to it)",
    ),
    Column("detail", Text, comment="why, for a person, in our words"),
    Column("expires_at", INSTANT, comment="end of the key; NULL: never, or not said"),
    Column("limit_usd", MONEY, comment="spending limit of the key; NULL: none, or not said"),
    Column("remaining_usd", MONEY, comment="left of the limit; NULL: not said"),
    Column("spent_today_usd", MONEY, comment="since the UTC midnight before; NULL: not said"),
    _one_of("state", domain.AccountState),
    Index("ix_account_readings_provider_at", "provider", "at"),
    comment="what provider accounts said of themselves",
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
        comment="the number that the message carries",
    ),
    Column("action", Text, nullable=False, comment="acknowledge, mute or chart"),
    Column(
        "actor",
        Text,
        nullable=False,
        comment="user id in the channel; by command: the name given",
    ),
    Column("name", Text, comment="name of the person; NULL: not known"),
    Column("nth", Integer, nullable=False, comment="how often this person did it, this included"),
    Column("channel", Text, comment="channel of the reaction; NULL: by command"),
    Column("reference", Text, comment="message of the reaction; NULL: by command"),
    Column(
        "at",
        INSTANT,
        nullable=False,
        server_default=func.now(),
        comment="when it was seen and took effect",
    ),
    Column("removed_at", INSTANT, comment="reaction seen as removed; NULL: it stands"),
    Column("undone_at", INSTANT, comment="no longer in effect since; NULL: in effect"),
    Column("undone_by", Text, comment="who undid it; NULL: not undone, or its time was over"),
    Column(
        "attempts",
        Integer,
        nullable=False,
        server_default="0",
        comment="of a chart: tries to post it",
    ),
    Column("done_at", INSTANT, comment="of a chart: when it was posted or given up"),
    Column("failure", Text, comment="of a chart: why it was given up; NULL: it was not"),
    CheckConstraint("action IN ('acknowledge', 'mute', 'chart')", "action"),
    UniqueConstraint("incident", "action", "actor", "nth"),
    comment="answers of people to incidents: who did what, when, and until when; kept for ever",
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
    Column("until", INSTANT, nullable=False, comment="unmuting sets it to then"),
    Column(
        "action",
        BigInteger,
        ForeignKey("incident_actions.id"),
        comment="the answer to an incident that made it; NULL: by command",
    ),
    Index("ix_mutes_until", "until"),
    comment="silences by people: who, why, until when; kept for ever",
)

channels = Table(
    "channels",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("paused_until", INSTANT, comment="a 429 asked for patience until then"),
    Column("broken_since", INSTANT, comment="refused for good since; rechecked hourly"),
    Column("broken_why", Text),
    Column("last_sent_at", INSTANT),
    Column("configured_at", INSTANT, comment="when a worker last had it in its configuration"),
    comment="state of each way to tell",
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True, comment="what only one worker does at a time"),
    Column("holder", Text, nullable=False),
    Column("until", INSTANT, nullable=False, comment="anyone may take it afterwards"),
    Column("fence", BigInteger, nullable=False, comment="grows with every change of holder"),
    comment="rows with an expiry: they work behind a transaction pooler, advisory locks do not",
)
