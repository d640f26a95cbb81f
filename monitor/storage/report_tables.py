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
from sqlalchemy.dialects.postgresql import JSONB

from monitor.storage.tables import INSTANT, MONEY, metadata, observations, slots

_NEVER = text("'-infinity'")
_LOW = "unknown models on the cheapest declared model"
_MARGIN = "so much more on the most expensive declared model, where the model is unknown"


def _unique(table: str, *columns: str) -> Index:
    """One row for these columns, NULL being a value like others."""
    return Index(f"uq_{table}", *columns, unique=True, postgresql_nulls_not_distinct=True)


def _hour() -> Column[object]:
    return Column("hour", INSTANT, nullable=False, comment="its start; an hour of the day's zone")


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
        Column("probes", Integer, nullable=False, comment="0: a gap"),
        Column("good", Integer, nullable=False, comment="answered"),
        Column("bad", Integer, nullable=False, comment="failed; neither ours nor rate limits"),
        Column("judged", Integer, nullable=False, comment="samples with a TTFT worth judging"),
        Column("degraded", Integer, nullable=False, comment="samples whose stamps were degraded"),
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
        Column("rounds_expected", Integer, comment="NULL: nobody said how often to ask"),
        Column("rounds_missed", Integer, comment="not asked, or not asked whole"),
    ]


def _answers() -> list[Column[object]]:
    """Figures of the answers of one model to one query of one target."""
    return [
        _target(),
        Column("query", Text, nullable=False),
        Column("model", Text, comment="who answered; NULL: nobody can tell"),
        Column("identity", Text, nullable=False),
        Column("heard", Integer, nullable=False, comment="brought answer text; not by hand"),
        Column("answered", Integer, nullable=False, comment="answered whole, whoever asked"),
        Column("priced", Integer, nullable=False, comment="of these, with a cost"),
        Column("answered_usd", MONEY, nullable=False, comment="cost of the priced ones"),
        Column("probes", Integer, nullable=False, comment="every probe, failed ones included"),
        Column("usd", MONEY, nullable=False, comment="cost of every probe that has one"),
        Column(
            "unpriced",
            Integer,
            nullable=False,
            comment="brought text and have no cost, or a range without some declared model",
        ),
        Column("counted", Integer, nullable=False, comment="answered, with tokens known"),
        Column("prompt_tokens", BigInteger, nullable=False, comment="of the counted ones"),
        Column("answer_tokens", BigInteger, nullable=False, comment="of the counted ones"),
        _since_then("ranged", Integer, "of unknown model, with a range instead of a cost"),
        _since_then("low_usd", MONEY, "of the ranged ones, on the cheapest declared model"),
        _since_then("high_usd", MONEY, "of the ranged ones, on the most expensive one"),
        _since_then("answered_ranged", Integer, "ranged ones among those answered"),
        _since_then("answered_low_usd", MONEY, "low_usd of those answered"),
        _since_then("answered_high_usd", MONEY, "high_usd of those answered"),
        Column(
            "region",
            Text,
            comment="where the probes were sent from; NULL: counted before regions were",
        ),
        *_per_token(),
    ]


def _per_token() -> list[Column[object]]:
    """What a mean cost per token is made of: only probes that have both, failed ones included."""
    return [
        _since_then("priced_with_tokens", Integer, "probes with a cost and both token counts"),
        _since_then("priced_with_tokens_usd", MONEY, "cost of these"),
        _since_then("priced_prompt_tokens", BigInteger, "of these"),
        _since_then("priced_answer_tokens", BigInteger, "of these"),
        _since_then("listed_tokens", BigInteger, "tokens of these whose rates are known"),
        _since_then("list_usd", MONEY, "what listed_tokens cost at list price"),
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
        Column("model", Text, comment="who answered; NULL: nobody can tell"),
        Column("identity", Text, nullable=False),
        Column("heard", Integer, nullable=False, comment="as in answers_hourly"),
        Column("answered", Integer, nullable=False, comment="as in answers_hourly"),
        Column("priced", Integer, nullable=False, comment="as in answers_hourly"),
        Column("answered_usd", MONEY, nullable=False, comment="as in answers_hourly"),
        Column("ttft_histogram", ARRAY(Integer, dimensions=2), comment="as in rollups_hourly"),
        Column("ttft_p50_ms", Double, comment="by the histogram, within 1 %; NULL: none"),
        Column("ttft_p95_ms", Double, comment="by the histogram, within 1 %; NULL: none"),
        *_per_token(),
    ]


rollups_hourly = Table(
    "rollups_hourly",
    metadata,
    _hour(),
    *_latencies(),
    PrimaryKeyConstraint("hour", "target", "region", "query"),
    comment="latencies of finished hours, gaps included; percentiles exact, from raw rows",
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
    comment="who answered, and for how much, in finished hours",
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
    comment="how fast each model answered in finished hours",
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
    Column("until", INSTANT, nullable=False, comment="the sum ends here; the hour's end, or now"),
    _target(),
    Column("provider", Text, comment="who bills; NULL: nobody can tell"),
    Column("meter", Text, nullable=False, comment="probes or traffic"),
    Column(
        "usd",
        MONEY,
        nullable=False,
        comment="answers of unknown model on the cheapest declared model",
    ),
    Column("at_least", Boolean, nullable=False, comment="something in it has no price"),
    _since_then("margin_usd", MONEY, _MARGIN),
    Column(
        "model",
        Text,
        comment="who answered; NULL: not identified, or counted before models were kept",
    ),
    CheckConstraint("meter IN ('probes', 'traffic')", "meter"),
    CheckConstraint("usd >= 0 AND usd < 'NaN'", "usd"),
    _unique("spend_hourly", "hour", "target", "provider", "meter", "model"),
    comment="what an hour cost by provider and meter; the running hour included",
)

spend_days = Table(
    "spend_days",
    metadata,
    _day("of its column"),
    Column("provider", Text, comment="who bills; NULL: nobody can tell"),
    Column("probes_usd", MONEY, nullable=False),
    Column("traffic_usd", MONEY, nullable=False),
    Column("unpriced", Integer, nullable=False, comment="probes that have no price"),
    Column("account_usd", MONEY, comment="as the provider says; NULL: not known"),
    Column("spent_usd", MONEY, nullable=False, comment="the provider's share of the day's spend"),
    Column("at_least", Boolean, nullable=False, comment="something in it has no price"),
    Column("meter", Text, nullable=False, comment="where spent_usd comes from"),
    Column("because", Text, nullable=False, comment="why from there"),
    Column("reckoned_at", INSTANT, nullable=False, comment="the day is known up to here"),
    _since_then("probes_margin_usd", MONEY, _MARGIN),
    _since_then("traffic_margin_usd", MONEY, _MARGIN),
    _since_then("spent_margin_usd", MONEY, _MARGIN),
    Column("zone", Text, comment="whose day it is; NULL: not known"),
    Column(
        "begins_at",
        INSTANT,
        comment="where the days before it, in another zone, end; NULL: at its midnight",
    ),
    Column(
        "stale",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="rows of it came late or were derived again: to be computed again",
    ),
    CheckConstraint("meter IN ('account', 'estimate')", "meter"),
    _unique("spend_days", "day", "provider"),
    comment="the day's spend by provider, and the meters it was read from",
)

spend_target_days = Table(
    "spend_target_days",
    metadata,
    _day("of its column"),
    _target(),
    Column(
        "model",
        Text,
        comment="who answered; NULL: not identified, or counted before models were kept",
    ),
    Column("provider", Text, comment="who bills; NULL: not known"),
    Column("probes_usd", MONEY, nullable=False, comment=_LOW),
    Column("traffic_usd", MONEY, nullable=False, comment=_LOW),
    Column("margin_usd", MONEY, nullable=False, comment=_MARGIN),
    Column("at_least", Boolean, nullable=False, comment="something in it has no price"),
    Column("reckoned_at", INSTANT, nullable=False, comment="the day is known up to here"),
    Column("zone", Text, comment="whose day it is; NULL: not known"),
    _unique("spend_target_days", "day", "target", "model", "provider"),
    comment="spend_hourly by day, target and model, meters side by side",
)

report_targets = Table(
    "report_targets",
    metadata,
    Column("target", Text, primary_key=True),
    Column("every_s", Double, nullable=False, comment="from one round to the next"),
    Column("daily_queries", Integer, nullable=False, comment="traffic of the service; 0: off"),
    Column("expected_model", Text, comment="the first one expected"),
    Column("fallback_model", Text, comment="the first fallback"),
    Column("expected_usd", MONEY, comment="a canned query on it, projected at today's prices"),
    Column("fallback_usd", MONEY, comment="a canned query on it, projected at today's prices"),
    Column(
        "since",
        INSTANT,
        nullable=False,
        server_default=func.now(),
        comment="rounds are expected from here on",
    ),
    CheckConstraint("every_s > 0", "every_s"),
    comment="what reports must know of the configuration; written by the worker",
)

report_state = Table(
    "report_state",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("zone", Text, nullable=False, server_default="UTC", comment="whose days are counted"),
    Column(
        "hours_until",
        INSTANT,
        nullable=False,
        server_default=_NEVER,
        comment="hours before are read from rollups, later ones from raw rows",
    ),
    Column(
        "days_until",
        Date,
        nullable=False,
        server_default=_NEVER,
        comment="days before are read from rollups, later ones from hours",
    ),
    Column(
        "seen_until",
        INSTANT,
        nullable=False,
        server_default=_NEVER,
        comment="rows recorded before are in the rollups",
    ),
    Column(
        "raw_since",
        INSTANT,
        nullable=False,
        server_default=_NEVER,
        comment="raw rows of rounds before may be gone: such hours stay as they are",
    ),
    CheckConstraint("one", "one"),
    CheckConstraint("raw_since <= hours_until", "raw_is_rolled_up"),
    comment="one row: the zone of the day, and how far rollups have come",
)

rollups_due = Table(
    "rollups_due",
    metadata,
    Column("hour", INSTANT, primary_key=True, comment="its start"),
    comment="finished hours that late rows came for: to be computed again, with their days",
)

health_readings = Table(
    "health_readings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _target(),
    Column("url", Text, nullable=False),
    Column("at", INSTANT, nullable=False, comment="since when it says so"),
    Column("checked_at", INSTANT, nullable=False, comment="until when, as far as we know"),
    Column("http_status", SmallInteger, comment="NULL: no answer"),
    Column("healthy", Boolean, comment="every expectation was met; NULL: it cannot be judged"),
    Column("unmet", ARRAY(Text), nullable=False, comment="expectations that were not met"),
    Column("facts", JSONB, nullable=False, comment="what the expectations looked at"),
    CheckConstraint("checked_at >= at", "checked_after_at"),
    Index("ix_health_readings_target_at", "target", "at"),
    comment="what a service's own health page says: one row a change",
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
