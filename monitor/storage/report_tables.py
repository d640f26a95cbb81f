"""The tables behind schema `report`: rollups, spend, health pages, and how far they have come.

Every row is computed from others and may be computed again: nothing is added to a figure.
"""

from decimal import Decimal

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZMULTIRANGE

from monitor.storage.tables import INSTANT, MONEY, metadata, observations, slots

_NEVER = text("'-infinity'")
_LOW = "USD; unknown models as the cheapest declared model"
_MARGIN = "additional cost if unknown models are the most expensive declared model, USD"


def _unique(table: str, *columns: str) -> Index:
    """One row for these columns, NULL being a value like others."""
    return Index(f"uq_{table}", *columns, unique=True, postgresql_nulls_not_distinct=True)


def _hour() -> Column[object]:
    return Column(
        "hour", INSTANT, nullable=False, comment="start of the hour, in the zone of the day"
    )


def _day(zone: str = "of report_state") -> Column[object]:
    return Column("day", Date, nullable=False, comment=f"in the zone {zone}")


def _target() -> Column[object]:
    return Column("target", Text, nullable=False)


def _latencies() -> list[Column[object]]:
    """Figures of the probes of one target, region and query, by schedule or on suspicion."""
    return [
        _target(),
        Column("region", Text, nullable=False),
        Column("query", Text, nullable=False),
        Column("probes", Integer, nullable=False, comment="number of probes; 0: a gap"),
        Column("good", Integer, nullable=False, comment="probes that were answered"),
        Column(
            "bad",
            Integer,
            nullable=False,
            comment="probes that failed, without rate limits and aborted probes",
        ),
        Column(
            "judged", Integer, nullable=False, comment="samples with a TTFT that rules may judge"
        ),
        Column("degraded", Integer, nullable=False, comment="samples with degraded timestamps"),
        *(
            Column(f"ttft_{name}_ms", Double, comment="of the judged samples, ms; NULL: none")
            for name in ("min", "mean", "max", "p50", "p90", "p95", "p99")
        ),
        Column(
            "ttft_histogram",
            ARRAY(Integer, dimensions=2),
            comment="list of {bucket, samples}; a bucket spans 2 %: report.bucket",
        ),
        Column("last_slot", INSTANT, comment="latest round so far; NULL: none in this span"),
        Column(
            "rounds_expected",
            Integer,
            comment="rounds that were due; NULL: the interval is not known",
        ),
        Column("rounds_missed", Integer, comment="rounds that were not probed, or not completely"),
    ]


def _answers() -> list[Column[object]]:
    """Figures of the answers of one model to one query of one target."""
    return [
        _target(),
        Column("query", Text, nullable=False),
        Column("model", Text, comment="model that answered; NULL: not identified"),
        Column("identity", Text, nullable=False),
        Column(
            "heard",
            Integer,
            nullable=False,
            comment="probes with answer text, without manual probes",
        ),
        Column(
            "answered",
            Integer,
            nullable=False,
            comment="complete answers, including manual probes",
        ),
        Column("priced", Integer, nullable=False, comment="complete answers with a cost"),
        Column("answered_usd", MONEY, nullable=False, comment="cost of these answers, USD"),
        Column("probes", Integer, nullable=False, comment="all probes, including failed ones"),
        Column("usd", MONEY, nullable=False, comment="sum of all known costs, USD"),
        Column(
            "unpriced",
            Integer,
            nullable=False,
            comment="answers without a cost, or with a range that lacks a declared model",
        ),
        Column(
            "counted", Integer, nullable=False, comment="complete answers with known token counts"
        ),
        Column("prompt_tokens", BigInteger, nullable=False, comment="tokens of these answers"),
        Column("answer_tokens", BigInteger, nullable=False, comment="tokens of these answers"),
        _since_then(
            "ranged", Integer, ("answers of an unknown model, with a range instead of a cost")
        ),
        _since_then(
            "low_usd", MONEY, ("lower ends of these ranges, USD: on the cheapest declared model")
        ),
        _since_then(
            "high_usd",
            MONEY,
            ("upper ends of these ranges, USD: on the most expensive declared model"),
        ),
        _since_then("answered_ranged", Integer, "complete answers with a range"),
        _since_then("answered_low_usd", MONEY, "lower ends of these, USD"),
        _since_then("answered_high_usd", MONEY, "upper ends of these, USD"),
        Column(
            "region",
            Text,
            comment="where the probes were sent from; NULL: counted before this column existed",
        ),
        *_per_token(),
    ]


def _per_token() -> list[Column[object]]:
    """What a mean cost per token is made of: only probes that have both, failed ones included."""
    return [
        _since_then("priced_with_tokens", Integer, "probes with a cost and both token counts"),
        _since_then("priced_with_tokens_usd", MONEY, "cost of these, USD"),
        _since_then("priced_prompt_tokens", BigInteger, "tokens of these"),
        _since_then("priced_answer_tokens", BigInteger, "tokens of these"),
        _since_then("listed_tokens", BigInteger, "tokens of these whose rates are known"),
        _since_then("list_usd", MONEY, "cost of listed_tokens at list price, USD"),
    ]


def _since_then(
    name: str, kind: type[Integer | BigInteger] | Numeric[Decimal], comment: str
) -> Column[object]:
    """A figure that older rows do not have: nothing was counted."""
    return Column(name, kind, nullable=False, server_default=text("0"), comment=comment)


def _models() -> list[Column[object]]:
    """Figures of the answers of one model, whatever the query."""
    return [
        _target(),
        Column("model", Text, comment="model that answered; NULL: not identified"),
        Column("identity", Text, nullable=False),
        Column("heard", Integer, nullable=False, comment="as in answers_hourly"),
        Column("answered", Integer, nullable=False, comment="as in answers_hourly"),
        Column("priced", Integer, nullable=False, comment="as in answers_hourly"),
        Column("answered_usd", MONEY, nullable=False, comment="as in answers_hourly"),
        Column("ttft_histogram", ARRAY(Integer, dimensions=2), comment="as in rollups_hourly"),
        Column("ttft_p50_ms", Double, comment="from the histogram, within 1 %; NULL: none"),
        Column("ttft_p95_ms", Double, comment="from the histogram, within 1 %; NULL: none"),
        *_per_token(),
    ]


rollups_hourly = Table(
    "rollups_hourly",
    metadata,
    _hour(),
    *_latencies(),
    PrimaryKeyConstraint("hour", "target", "region", "query"),
    comment=(
        "latencies of complete hours, including gaps; percentiles are exact, from observations"
    ),
)

rollups_daily = Table(
    "rollups_daily",
    metadata,
    _day(),
    *_latencies(),
    PrimaryKeyConstraint("day", "target", "region", "query"),
    comment="rollups_hourly by day; percentiles from merged histograms, within 1 %",
)

answers_hourly = Table(
    "answers_hourly",
    metadata,
    _hour(),
    *_answers(),
    _unique("answers_hourly", "hour", "target", "query", "model", "identity", "region"),
    comment="models and costs of complete hours",
)

answers_daily = Table(
    "answers_daily",
    metadata,
    _day(),
    *_answers(),
    _unique("answers_daily", "day", "target", "query", "model", "identity", "region"),
    comment="answers_hourly by day",
)

models_hourly = Table(
    "models_hourly",
    metadata,
    _hour(),
    *_models(),
    _unique("models_hourly", "hour", "target", "model", "identity"),
    comment="models and latencies of complete hours",
)

models_daily = Table(
    "models_daily",
    metadata,
    _day(),
    *_models(),
    _unique("models_daily", "day", "target", "model", "identity"),
    comment="models_hourly by day",
)

spend_hourly = Table(
    "spend_hourly",
    metadata,
    _hour(),
    Column("until", INSTANT, nullable=False, comment="end of the sum: end of the hour, or now"),
    _target(),
    Column("provider", Text, comment="provider that bills; NULL: not known"),
    Column("meter", Text, nullable=False, comment="probes or traffic"),
    Column(
        "usd",
        MONEY,
        nullable=False,
        comment="cost, USD; unknown models as the cheapest declared model",
    ),
    Column("at_least", Boolean, nullable=False, comment="true if a part has no price"),
    _since_then("margin_usd", MONEY, _MARGIN),
    Column(
        "model",
        Text,
        comment=(
            "model that answered; NULL: not identified, or counted before this column existed"
        ),
    ),
    CheckConstraint("meter IN ('probes', 'traffic')", "meter"),
    CheckConstraint("usd >= 0 AND usd < 'NaN'", "usd"),
    _unique("spend_hourly", "hour", "target", "provider", "meter", "model"),
    comment="spend of each hour by provider and meter, including the current hour",
)

spend_days = Table(
    "spend_days",
    metadata,
    _day("of its column"),
    Column("provider", Text, comment="provider that bills; NULL: not known"),
    Column("probes_usd", MONEY, nullable=False),
    Column("traffic_usd", MONEY, nullable=False),
    Column("unpriced", Integer, nullable=False, comment="number of probes without a price"),
    Column("account_usd", MONEY, comment="spend as the provider reports it, USD; NULL: not known"),
    Column(
        "spent_usd", MONEY, nullable=False, comment="the provider's part of the day's spend, USD"
    ),
    Column("at_least", Boolean, nullable=False, comment="true if a part has no price"),
    Column("meter", Text, nullable=False, comment="source of spent_usd"),
    Column("because", Text, nullable=False, comment="reason for the choice of this source"),
    Column(
        "reckoned_at", INSTANT, nullable=False, comment="the sum covers the day up to this time"
    ),
    _since_then("probes_margin_usd", MONEY, _MARGIN),
    _since_then("traffic_margin_usd", MONEY, _MARGIN),
    _since_then("spent_margin_usd", MONEY, _MARGIN),
    Column("zone", Text, comment="time zone of the day; NULL: not known"),
    Column(
        "begins_at",
        INSTANT,
        comment="start of the day if the day before was in another zone; NULL: midnight",
    ),
    Column(
        "stale",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="true if late or derived rows require a new computation",
    ),
    CheckConstraint("meter IN ('account', 'estimate')", "meter"),
    _unique("spend_days", "day", "provider"),
    comment="the day's spend by provider, and its meters",
)

spend_target_days = Table(
    "spend_target_days",
    metadata,
    _day("of its column"),
    _target(),
    Column(
        "model",
        Text,
        comment=(
            "model that answered; NULL: not identified, or counted before this column existed"
        ),
    ),
    Column("provider", Text, comment="provider that bills; NULL: not known"),
    Column("probes_usd", MONEY, nullable=False, comment=_LOW),
    Column("traffic_usd", MONEY, nullable=False, comment=_LOW),
    Column("margin_usd", MONEY, nullable=False, comment=_MARGIN),
    Column("at_least", Boolean, nullable=False, comment="true if a part has no price"),
    Column(
        "reckoned_at", INSTANT, nullable=False, comment="the sum covers the day up to this time"
    ),
    Column("zone", Text, comment="time zone of the day; NULL: not known"),
    _unique("spend_target_days", "day", "target", "model", "provider"),
    comment="spend_hourly by day, target and model, meters side by side",
)

report_targets = Table(
    "report_targets",
    metadata,
    Column("target", Text, primary_key=True),
    Column("every_s", Double, nullable=False, comment="seconds from one round to the next"),
    Column(
        "daily_queries",
        Integer,
        nullable=False,
        comment="queries of the service per day; 0: meter off",
    ),
    Column("expected_model", Text, comment="first expected model"),
    Column("fallback_model", Text, comment="first fallback model"),
    Column(
        "expected_usd",
        MONEY,
        comment="projected cost of a canned query on that model at present prices, USD",
    ),
    Column(
        "fallback_usd",
        MONEY,
        comment="projected cost of a canned query on that model at present prices, USD",
    ),
    Column(
        "since",
        INSTANT,
        nullable=False,
        server_default=func.now(),
        comment="time from which rounds are expected",
    ),
    Column("gone_at", INSTANT, comment="when it left the configuration; NULL: it is watched"),
    CheckConstraint("every_s > 0", "every_s"),
    comment="configuration that reports need; written by the worker",
)

report_state = Table(
    "report_state",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("zone", Text, nullable=False, server_default="UTC", comment="time zone of the days"),
    Column(
        "hours_until",
        INSTANT,
        nullable=False,
        server_default=_NEVER,
        comment="earlier hours are read from rollups, later ones from observations",
    ),
    Column(
        "days_until",
        Date,
        nullable=False,
        server_default=_NEVER,
        comment="earlier days are read from rollups, later ones from hours",
    ),
    Column(
        "seen_until",
        INSTANT,
        nullable=False,
        server_default=_NEVER,
        comment="observations recorded earlier are in the rollups",
    ),
    Column(
        "raw_since",
        INSTANT,
        nullable=False,
        server_default=_NEVER,
        comment=(
            "observations of earlier rounds may be deleted; such hours are not computed again"
        ),
    ),
    Column(
        "absences",
        TSTZMULTIRANGE,
        nullable=False,
        server_default="{}",
        comment="times in which no worker ran: no round was due",
    ),
    CheckConstraint("one", "one"),
    CheckConstraint("raw_since <= hours_until", "raw_is_rolled_up"),
    comment="one row: the zone of the day, and the progress of rollups",
)

rollups_due = Table(
    "rollups_due",
    metadata,
    Column("hour", INSTANT, primary_key=True, comment="start of the hour"),
    comment="complete hours with late observations, to be computed again with their days",
)

health_readings = Table(
    "health_readings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _target(),
    Column("url", Text, nullable=False),
    Column("at", INSTANT, nullable=False, comment="when this content was first read"),
    Column("checked_at", INSTANT, nullable=False, comment="when this content was last read"),
    Column("http_status", SmallInteger, comment="HTTP status; NULL: no response"),
    Column(
        "healthy", Boolean, comment="whether all expectations were met; NULL: it cannot be judged"
    ),
    Column("unmet", ARRAY(Text), nullable=False, comment="expectations that were not met"),
    Column("facts", JSONB, nullable=False, comment="values that the expectations checked"),
    CheckConstraint("checked_at >= at", "checked_after_at"),
    Index("ix_health_readings_target_at", "target", "at"),
    comment="content of each target's own health page: one row per change",
)

# What rollups and retention ask of raw rows: late ones, excerpts due to go, the rounds of an hour.
Index(
    "ix_observations_recorded_at",
    observations.c.recorded_at,
    postgresql_using="brin",
    postgresql_with={"pages_per_range": "32", "autosummarize": "on"},
)
Index(
    "ix_observations_excerpt",
    observations.c.slot,
    postgresql_where=text("answer_excerpt IS NOT NULL"),
)
Index("ix_slots_slot", slots.c.slot)
