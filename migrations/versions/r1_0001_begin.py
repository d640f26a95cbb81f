"""Begin: observations, slots, incidents, outbox, and what coordinates workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "r1_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_readings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when it was read"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="ok, rejected, out_of_credit, throttled (about us), failing (the provider, or the way to it)",
        ),
        sa.Column("detail", sa.Text(), nullable=True, comment="why, for a person, in our words"),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="end of the key; NULL: never, or not said",
        ),
        sa.Column(
            "limit_usd",
            sa.Numeric(precision=20, scale=12),
            nullable=True,
            comment="spending limit of the key; NULL: none, or not said",
        ),
        sa.Column(
            "remaining_usd",
            sa.Numeric(precision=20, scale=12),
            nullable=True,
            comment="left of the limit; NULL: not said",
        ),
        sa.Column(
            "spent_today_usd",
            sa.Numeric(precision=20, scale=12),
            nullable=True,
            comment="since the UTC midnight before; NULL: not said",
        ),
        sa.CheckConstraint(
            "state IN ('ok', 'rejected', 'out_of_credit', 'throttled', 'failing')",
            name=op.f("ck_account_readings_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_readings")),
        comment="what provider accounts said of themselves",
    )
    op.create_index(
        "ix_account_readings_provider_at", "account_readings", ["provider", "at"], unique=False
    )
    op.create_table(
        "channels",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column(
            "paused_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="a 429 asked for patience until then",
        ),
        sa.Column(
            "broken_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="refused for good since; rechecked hourly",
        ),
        sa.Column("broken_why", sa.Text(), nullable=True),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channels")),
        comment="state of each way to tell",
    )
    op.create_table(
        "incidents",
        sa.Column(
            "number",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="what people say aloud",
        ),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column(
            "target", sa.Text(), nullable=False, comment="scope: a target, a provider, or all"
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True, comment="NULL: open"),
        sa.Column("last_breach_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "value", sa.Numeric(), nullable=True, comment="latest judged value, in the rule's unit"
        ),
        sa.Column("opening_value", sa.Numeric(), nullable=True, comment="value that opened it"),
        sa.Column("peak", sa.Numeric(), nullable=True, comment="worst value while open"),
        sa.Column(
            "limit_value", sa.Numeric(), nullable=True, comment="limit in force, in the rule's unit"
        ),
        sa.Column("because", sa.Text(), nullable=False, comment="the judgement in one sentence"),
        sa.Column(
            "observations",
            sa.ARRAY(sa.Uuid()),
            nullable=False,
            comment="ids of the rows that prove it",
        ),
        sa.Column(
            "facts", postgresql.JSON(), nullable=False, comment="further facts, in the order told"
        ),
        sa.Column("reminders", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "once",
            sa.Text(),
            nullable=True,
            comment="key of what is said at most once, e.g. the day",
        ),
        sa.Column(
            "ended",
            sa.Text(),
            nullable=True,
            comment="the judgement that ended it, in one sentence",
        ),
        sa.Column(
            "told",
            sa.Text(),
            nullable=True,
            comment="what the channel believes; NULL: it was told nothing",
        ),
        sa.Column(
            "reopened_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="latest breach soon after a resolution",
        ),
        sa.Column("reopenings", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "part_of",
            sa.BigInteger(),
            nullable=True,
            comment="the incident whose message tells of this one, too",
        ),
        sa.CheckConstraint(
            "resolved_at >= opened_at", name=op.f("ck_incidents_resolved_after_opened")
        ),
        sa.ForeignKeyConstraint(
            ["part_of"], ["incidents.number"], name=op.f("fk_incidents_part_of")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_incidents")),
        comment="breaches from opening to resolution; at most one open per rule and scope",
    )
    op.create_index("ix_incidents_opened_at", "incidents", ["opened_at"], unique=False)
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["rule", "target"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False, comment="what only one worker does at a time"),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column(
            "until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="anyone may take it afterwards",
        ),
        sa.Column(
            "fence", sa.BigInteger(), nullable=False, comment="grows with every change of holder"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        comment="rows with an expiry: they work behind a transaction pooler, advisory locks do not",
    )
    op.create_table(
        "mutes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="a rule, or all"),
        sa.Column("target", sa.Text(), nullable=False, comment="a scope, or all"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("muted_by", sa.Text(), nullable=False),
        sa.Column(
            "muted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "until", sa.DateTime(timezone=True), nullable=False, comment="unmuting sets it to then"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mutes")),
        comment="silences by people: who, why, until when; kept for ever",
    )
    op.create_index("ix_mutes_until", "mutes", ["until"], unique=False)
    op.create_table(
        "observations",
        sa.Column("id", sa.Uuid(), nullable=False, comment="went out as X-Request-Id"),
        sa.Column("target", sa.Text(), nullable=False, comment="name of the watched service"),
        sa.Column("query", sa.Text(), nullable=False, comment="id of the canned query"),
        sa.Column(
            "origin",
            sa.Text(),
            nullable=False,
            comment="round: by schedule; burst: on suspicion; manual: by a person",
        ),
        sa.Column("region", sa.Text(), nullable=False, comment="where the probe was sent from"),
        sa.Column("worker", sa.Text(), nullable=False, comment="machine that sent it"),
        sa.Column(
            "slot",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="scheduled time of the round, UTC",
        ),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="start of the probe, worker's clock",
        ),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="stored, database's clock",
        ),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=False,
            comment="how the probe ended: docs/metrics.md#outcomes",
        ),
        sa.Column(
            "error", sa.Text(), nullable=True, comment="why, for a person; NULL when answered"
        ),
        sa.Column(
            "http_status", sa.SmallInteger(), nullable=True, comment="NULL: no response head"
        ),
        sa.Column("dialect", sa.Text(), nullable=False, comment="wire format"),
        sa.Column(
            "instrument",
            sa.SmallInteger(),
            nullable=False,
            comment="version of the definitions of what is measured",
        ),
        sa.Column("config_hash", sa.Text(), nullable=False, comment="configuration in force"),
        sa.Column(
            "stamp",
            sa.Text(),
            nullable=False,
            comment="who timed the bytes; degraded samples are judged by no latency rule",
        ),
        sa.Column(
            "lag_ms",
            sa.Double(),
            nullable=True,
            comment="worst lateness of our own loop during the probe, ms; NULL: not measurable",
        ),
        sa.Column(
            "dns_ms",
            sa.Double(),
            nullable=True,
            comment="name resolution, ms; NULL: not measurable",
        ),
        sa.Column(
            "connect_ms",
            sa.Double(),
            nullable=True,
            comment="start to connection ready, dns and tls included, ms; NULL: not measurable",
        ),
        sa.Column(
            "tls_ms", sa.Double(), nullable=True, comment="TLS handshake, ms; NULL: not measurable"
        ),
        sa.Column(
            "ttfb_ms",
            sa.Double(),
            nullable=True,
            comment="request sent to response head, ms; NULL: not measurable",
        ),
        sa.Column(
            "ttft_ms",
            sa.Double(),
            nullable=True,
            comment="request sent to first answer text, ms; NULL: not measurable",
        ),
        sa.Column(
            "ttft_any_ms",
            sa.Double(),
            nullable=True,
            comment="request sent to first text, reasoning included, ms; NULL: not measurable",
        ),
        sa.Column(
            "total_ms",
            sa.Double(),
            nullable=True,
            comment="request sent to last answer text, ms; NULL: not measurable",
        ),
        sa.Column(
            "tpot_ms",
            sa.Double(),
            nullable=True,
            comment="time per output token after the first, ms; NULL: not measurable",
        ),
        sa.Column("pieces", sa.Integer(), nullable=False, comment="runs of answer text received"),
        sa.Column(
            "chunk_lengths",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="characters of each run of answer text",
        ),
        sa.Column(
            "answer_chars", sa.Integer(), nullable=False, comment="characters of the whole answer"
        ),
        sa.Column(
            "answer_sha256", sa.Text(), nullable=True, comment="of the whole answer, hexadecimal"
        ),
        sa.Column(
            "answer_excerpt",
            sa.Text(),
            nullable=True,
            comment="start of the answer, scrubbed; kept for days only",
        ),
        sa.Column(
            "prompt_tokens", sa.Integer(), nullable=True, comment="as priced; NULL: not known"
        ),
        sa.Column(
            "answer_tokens",
            sa.Integer(),
            nullable=True,
            comment="as priced, reasoning included; NULL: not known",
        ),
        sa.Column("reasoning_tokens", sa.Integer(), nullable=True, comment="part of answer_tokens"),
        sa.Column("cached_tokens", sa.Integer(), nullable=True, comment="part of prompt_tokens"),
        sa.Column(
            "model_disclosed",
            sa.Text(),
            nullable=True,
            comment="name the response itself gives; NULL: none",
        ),
        sa.Column(
            "model_detected",
            sa.Text(),
            nullable=True,
            comment="who answered, by all evidence; NULL: nobody can tell",
        ),
        sa.Column(
            "identity", sa.Text(), nullable=False, comment="judgement against the models expected"
        ),
        sa.Column(
            "fallback",
            sa.Boolean(),
            sa.Computed(
                "CASE identity WHEN 'fallback' THEN true WHEN 'expected' THEN false END",
                persisted=True,
            ),
            nullable=True,
            comment="derived from identity; NULL counts as neither side",
        ),
        sa.Column("confidence", sa.Double(), nullable=False, comment="of the identity, 0 to 1"),
        sa.Column(
            "identity_reason",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the judgement in one sentence",
        ),
        sa.Column(
            "evidence",
            postgresql.JSONB(),
            nullable=False,
            comment="list of {kind, claim, nats, detail}",
        ),
        sa.Column(
            "claims",
            postgresql.JSONB(),
            nullable=False,
            comment="list of {kind, source, value}: raw, so that identity can be derived again",
        ),
        sa.Column(
            "cost_usd",
            sa.Numeric(precision=20, scale=12),
            nullable=True,
            comment="USD; NULL: cannot be priced, never 0",
        ),
        sa.Column(
            "cost_source",
            sa.Text(),
            nullable=True,
            comment="order of trust: provider, reported, estimated",
        ),
        sa.Column("cost_reason", sa.Text(), nullable=True, comment="why there is no price"),
        sa.Column(
            "rates",
            postgresql.JSONB(),
            nullable=False,
            comment="rates used, USD per million tokens, as text",
        ),
        sa.Column(
            "faults",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="oddities that cost nothing, e.g. a gap in the numbering",
        ),
        sa.CheckConstraint(
            "connect_ms >= 0 AND connect_ms < 'Infinity'", name=op.f("ck_observations_connect_ms")
        ),
        sa.CheckConstraint(
            "cost_source IN ('provider', 'reported', 'estimated')",
            name=op.f("ck_observations_cost_source"),
        ),
        sa.CheckConstraint(
            "cost_usd >= 0 AND cost_usd < 'NaN'", name=op.f("ck_observations_cost_usd")
        ),
        sa.CheckConstraint(
            "dns_ms >= 0 AND dns_ms < 'Infinity'", name=op.f("ck_observations_dns_ms")
        ),
        sa.CheckConstraint(
            "identity IN ('expected', 'fallback', 'disputed', 'changed', 'unknown')",
            name=op.f("ck_observations_identity"),
        ),
        sa.CheckConstraint(
            "lag_ms >= 0 AND lag_ms < 'Infinity'", name=op.f("ck_observations_lag_ms")
        ),
        sa.CheckConstraint(
            "origin IN ('round', 'burst', 'manual')", name=op.f("ck_observations_origin")
        ),
        sa.CheckConstraint(
            "outcome IN ('answered', 'empty', 'error_event', 'truncated', 'timeout_first_token', 'stalled', 'deadline', 'too_large', 'http_status', 'unavailable', 'rate_limited', 'content_type', 'protocol', 'refused', 'dns', 'tls', 'aborted')",
            name=op.f("ck_observations_outcome"),
        ),
        sa.CheckConstraint(
            "stamp IN ('kernel', 'user', 'degraded')", name=op.f("ck_observations_stamp")
        ),
        sa.CheckConstraint(
            "tls_ms >= 0 AND tls_ms < 'Infinity'", name=op.f("ck_observations_tls_ms")
        ),
        sa.CheckConstraint(
            "total_ms >= 0 AND total_ms < 'Infinity'", name=op.f("ck_observations_total_ms")
        ),
        sa.CheckConstraint(
            "tpot_ms >= 0 AND tpot_ms < 'Infinity'", name=op.f("ck_observations_tpot_ms")
        ),
        sa.CheckConstraint(
            "ttfb_ms >= 0 AND ttfb_ms < 'Infinity'", name=op.f("ck_observations_ttfb_ms")
        ),
        sa.CheckConstraint(
            "ttft_any_ms >= 0 AND ttft_any_ms < 'Infinity'",
            name=op.f("ck_observations_ttft_any_ms"),
        ),
        sa.CheckConstraint(
            "ttft_ms >= 0 AND ttft_ms < 'Infinity'", name=op.f("ck_observations_ttft_ms")
        ),
        sa.CheckConstraint(
            "(cost_usd IS NULL) = (cost_source IS NULL)",
            name=op.f("ck_observations_cost_has_source"),
        ),
        sa.CheckConstraint("answer_tokens >= 0", name=op.f("ck_observations_answer_tokens")),
        sa.CheckConstraint("cached_tokens >= 0", name=op.f("ck_observations_cached_tokens")),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_observations_confidence")),
        sa.CheckConstraint("prompt_tokens >= 0", name=op.f("ck_observations_prompt_tokens")),
        sa.CheckConstraint("reasoning_tokens >= 0", name=op.f("ck_observations_reasoning_tokens")),
        sa.PrimaryKeyConstraint("slot", "id", name=op.f("pk_observations")),
        comment="one row a probe; raw columns never change, identity and cost may be derived again; "
        "partitioned by month of slot",
        postgresql_partition_by="RANGE (slot)",
    )
    op.create_index("ix_observations_id", "observations", ["id"], unique=False)
    op.create_index(
        "ix_observations_target_started_at", "observations", ["target", "started_at"], unique=False
    )
    op.create_index(
        "uq_observations_round",
        "observations",
        ["target", "region", "query", "slot"],
        unique=True,
        postgresql_where=sa.text("origin = 'round'"),
    )
    op.create_table(
        "slots",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column(
            "slot",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="scheduled time of the round, UTC",
        ),
        sa.Column("worker", sa.Text(), nullable=False, comment="who claimed it"),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="NULL: running, or the worker died",
        ),
        sa.Column(
            "missed",
            sa.Text(),
            nullable=True,
            comment="why the round was not asked whole; NULL: it was",
        ),
        sa.PrimaryKeyConstraint("target", "region", "slot", name=op.f("pk_slots")),
        comment="one row a round and region: whoever inserts it asks the round",
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.Uuid(),
            nullable=False,
            comment="follows from what is told: the same news is written once",
        ),
        sa.Column(
            "sequence",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="order of telling",
        ),
        sa.Column("incident", sa.BigInteger(), nullable=True, comment="NULL: a notice"),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="FIRING, STILL FIRING, RESOLVED or NOTICE"
        ),
        sa.Column(
            "notice",
            postgresql.JSON(),
            nullable=False,
            comment="what is to be told, facts in order",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="not before; a lease moves it ahead",
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "settled_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="NULL: still to be told",
        ),
        sa.Column("result", sa.Text(), nullable=True, comment="how it was settled"),
        sa.Column("channel", sa.Text(), nullable=True, comment="which channel took it"),
        sa.Column(
            "reference",
            sa.Text(),
            nullable=True,
            comment="what edits the message later, where the channel can",
        ),
        sa.Column(
            "last_error", sa.Text(), nullable=True, comment="of the latest try, secrets removed"
        ),
        sa.Column(
            "maybe_sent",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="a reply was lost: the message may appear twice",
        ),
        sa.CheckConstraint("result IN ('sent', 'dead', 'merged')", name=op.f("ck_outbox_result")),
        sa.CheckConstraint(
            "(settled_at IS NULL) = (result IS NULL)", name=op.f("ck_outbox_settled_has_result")
        ),
        sa.ForeignKeyConstraint(
            ["incident"], ["incidents.number"], name=op.f("fk_outbox_incident")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        comment="what is to be told; written with the transition it tells of, in one transaction",
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index("ix_outbox_incident", "outbox", ["incident", "sequence"], unique=False)
    # Rows no month partition takes must not be lost; jobs make the months ahead of them.
    op.execute("CREATE TABLE observations_default PARTITION OF observations DEFAULT")


def downgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("slots")
    op.drop_table("observations")
    op.drop_table("mutes")
    op.drop_table("leases")
    op.drop_table("incidents")
    op.drop_table("channels")
    op.drop_table("account_readings")
