"""Statements that read the schema `report`: for reports, and for exports."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monitor.storage.engine import opened, unavailable
from monitor.storage.observations import PARTITIONS_AHEAD

# The statements behind a report. All targets at once, so that their number costs nothing.
#
# Short spans are read from raw rows, long ones from hours and days; both give the same columns.


# How far apart the rounds of the busiest target really were: one that takes longer than its
# interval leaves out the next.
CADENCE = """
SELECT min(apart) FROM (
    SELECT target, percentile_cont(0.5) WITHIN GROUP (ORDER BY apart) AS apart
    FROM (
        SELECT target, slot - lag(slot) OVER (PARTITION BY target ORDER BY slot) AS apart
        FROM (
            SELECT DISTINCT target, slot FROM report.observations
            WHERE slot >= :since AND slot < :until AND origin = 'round'
        ) AS rounds
    ) AS gaps
    GROUP BY target
) AS medians
"""

STEPS_RAW = """
SELECT target, region, query, date_bin(:step, slot, 'epoch'::timestamptz) AS at,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_judged_ms) AS p50_ms,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY ttft_judged_ms) AS p90_ms,
    max(ttft_judged_ms) AS worst_ms, count(ttft_judged_ms)::integer AS samples,
    (count(*) FILTER (WHERE good))::integer AS good,
    (count(*) FILTER (WHERE NOT good))::integer AS bad
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual'
GROUP BY 1, 2, 3, 4
ORDER BY 4, 3, 2
"""

STEPS_HOURLY = """
SELECT target, region, query, hour AS at, ttft_p50_ms AS p50_ms, ttft_p90_ms AS p90_ms,
    ttft_max_ms AS worst_ms, judged AS samples, good, bad
FROM report.ttft_hourly
WHERE hour >= :since AND hour < :until AND probes > 0
ORDER BY hour, query, region
"""

STEPS_DAILY = """
SELECT target, region, query, day::timestamp AT TIME ZONE :zone AS at, ttft_p50_ms AS p50_ms,
    ttft_p90_ms AS p90_ms, ttft_max_ms AS worst_ms, judged AS samples, good, bad
FROM report.ttft_daily
WHERE day >= :first_day AND day <= :last_day AND probes > 0
ORDER BY day, query, region
"""

JUDGED_RAW = """
SELECT target, date_bin(:step, slot, 'epoch'::timestamptz) AS at,
    (count(*) FILTER (WHERE identity = 'expected'))::integer AS expected,
    (count(*) FILTER (WHERE identity = 'fallback'))::integer AS fallback,
    (count(*) FILTER (WHERE identity = 'changed'))::integer AS changed,
    (count(*) FILTER (WHERE identity = 'disputed'))::integer AS disputed,
    (count(*) FILTER (WHERE identity = 'unknown'))::integer AS unknown
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual'
    AND (pieces > 0 OR identity <> 'unknown')
GROUP BY 1, 2
ORDER BY 2
"""

JUDGED_HOURLY = """
SELECT target, date_trunc(:unit, hour, :zone) AS at,
    sum(known - fallback)::integer AS expected, sum(fallback)::integer AS fallback,
    sum(changed)::integer AS changed, sum(disputed)::integer AS disputed,
    sum(unknown)::integer AS unknown
FROM report.fallback_hourly
WHERE hour >= :since AND hour < :until AND heard > 0
GROUP BY 1, 2
ORDER BY 2
"""

MODELS_RAW = """
SELECT target, (slot AT TIME ZONE :zone)::date AS day, model_detected AS model, identity,
    count(*)::integer AS answers
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual'
    AND (pieces > 0 OR identity <> 'unknown')
GROUP BY 1, 2, 3, 4
ORDER BY 2, 3 NULLS LAST
"""

MODELS_DAILY = """
SELECT target, day, model, identity, heard AS answers
FROM report.models_daily
WHERE day >= :first_day AND day <= :last_day
ORDER BY day, model NULLS LAST
"""

FIGURES_RAW = """
SELECT target, query, count(*)::integer AS probes,
    (count(*) FILTER (WHERE good))::integer AS good,
    (count(*) FILTER (WHERE NOT good))::integer AS bad,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_judged_ms) AS p50_ms,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY ttft_judged_ms) AS p90_ms,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY ttft_judged_ms) AS p99_ms,
    max(ttft_judged_ms) AS worst_ms,
    avg((ttft_judged_ms > CAST(:limit_ms AS double precision))::integer)::double precision
        AS over_limit
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual'
GROUP BY GROUPING SETS ((target), (target, query))
ORDER BY query NULLS FIRST
"""

FIGURES_DAILY = """
SELECT target, query, probes, good, bad,
    least(report.percentile(histogram, 0.5), worst_ms) AS p50_ms,
    least(report.percentile(histogram, 0.9), worst_ms) AS p90_ms,
    least(report.percentile(histogram, 0.99), worst_ms) AS p99_ms, worst_ms,
    coalesce(report.share_above(histogram, CAST(:limit_ms AS double precision)),
        CASE WHEN histogram IS NOT NULL AND CAST(:limit_ms AS double precision) IS NOT NULL
            THEN 0 END) AS over_limit
FROM (
    SELECT target, query, sum(probes)::integer AS probes, sum(good)::integer AS good,
        sum(bad)::integer AS bad, max(ttft_max_ms) AS worst_ms,
        report.merge(ttft_histogram) AS histogram
    FROM report.ttft_daily
    WHERE day >= :first_day AND day <= :last_day
    GROUP BY GROUPING SETS ((target), (target, query))
) AS merged
WHERE probes > 0
ORDER BY query NULLS FIRST
"""

SPREAD_RAW = """
SELECT target, identity, report.bucket_ms(report.bucket(ttft_judged_ms)) AS ms,
    count(*)::integer AS samples
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual' AND ttft_judged_ms IS NOT NULL
GROUP BY 1, 2, 3
"""

SPREAD_DAILY = """
SELECT target, identity,
    report.bucket_ms(ttft_histogram[place][1]) AS ms,
    sum(ttft_histogram[place][2])::integer AS samples
FROM report.models_daily, generate_subscripts(ttft_histogram, 1) AS place
WHERE day >= :first_day AND day <= :last_day
GROUP BY 1, 2, 3
"""

COSTS_RAW = """
SELECT target, query, model_detected AS model, count(*)::integer AS answers,
    avg(coalesce(cost_usd, cost_low_usd))::numeric(20, 12) AS mean_usd,
    avg(coalesce(cost_usd, cost_high_usd))::numeric(20, 12) AS mean_high_usd
FROM report.observations
WHERE slot >= :since AND slot < :until AND good
GROUP BY target, query, model_detected
ORDER BY query, answers DESC, model
"""

COSTS_DAILY = """
SELECT target, query, model, sum(answered)::integer AS answers,
    ((coalesce(sum(mean_usd * priced), 0) + coalesce(sum(mean_low_usd * ranged), 0))
        / nullif(sum(priced + ranged), 0))::numeric(20, 12) AS mean_usd,
    ((coalesce(sum(mean_usd * priced), 0) + coalesce(sum(mean_high_usd * ranged), 0))
        / nullif(sum(priced + ranged), 0))::numeric(20, 12) AS mean_high_usd
FROM report.cost_per_query_daily
WHERE day >= :first_day AND day <= :last_day AND answered > 0
GROUP BY target, query, model
ORDER BY query, answers DESC, model
"""

ROUNDS_HOURLY = """
SELECT target, sum(expected)::integer AS expected, sum(missed)::integer AS missed
FROM (
    SELECT target, region, hour, max(rounds_expected) AS expected, max(rounds_missed) AS missed
    FROM report.ttft_hourly
    WHERE hour > CAST(:since AS timestamptz) - interval '1 hour' AND hour < :until
    GROUP BY target, region, hour
) AS hours
GROUP BY target
"""

ROUNDS_DAILY = """
SELECT target, sum(expected)::integer AS expected, sum(missed)::integer AS missed
FROM (
    SELECT target, region, day, max(rounds_expected) AS expected, max(rounds_missed) AS missed
    FROM report.ttft_daily
    WHERE day >= :first_day AND day <= :last_day
    GROUP BY target, region, day
) AS days
GROUP BY target
"""

SPEND = """
SELECT day, sum(spent_usd) AS total_usd,
    sum(probes_usd) FILTER (WHERE meter = 'estimate') AS probes_usd,
    sum(traffic_usd) FILTER (WHERE meter = 'estimate') AS traffic_usd,
    sum(spent_usd) FILTER (WHERE meter = 'account') AS account_usd,
    bool_or(at_least) AS at_least,
    sum(spent_high_usd) AS total_high_usd,
    sum(probes_high_usd) FILTER (WHERE meter = 'estimate') AS probes_high_usd,
    sum(traffic_high_usd) FILTER (WHERE meter = 'estimate') AS traffic_high_usd
FROM report.spend_daily
WHERE day >= :first_day AND day <= :last_day
GROUP BY day
ORDER BY day
"""

INCIDENTS = """
SELECT number, rule, target AS scope, opened_at, resolved_at, peak, limit_value AS limit, because,
    cost_usd, coalesce(cost_at_least, false) AS cost_at_least, first_seen_at, opening_because,
    cost_high_usd, recovering_reason
FROM report.incidents
WHERE opened_at < :until AND (resolved_at IS NULL OR resolved_at > :since)
ORDER BY opened_at DESC, number DESC
LIMIT 200
"""

# What no rollup keeps is read from the latest raw rows of each target, so many at most.
_LATEST = """
WITH latest AS MATERIALIZED (
    SELECT o.*
    FROM unnest(CAST(:targets AS text[])) AS t (name) CROSS JOIN LATERAL (
        SELECT target, query, outcome, stamp, lag_ms, dns_ms, connect_ms, tls_ms, ttfb_ms,
            ttft_judged_ms
        FROM report.observations
        WHERE target = t.name AND started_at >= :since AND slot >= :since AND slot < :until
            AND origin <> 'manual'
        ORDER BY started_at DESC
        LIMIT :most
    ) AS o
)
"""

PHASES = (
    _LATEST
    + """
SELECT target, query,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY dns_ms) AS dns_ms,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY greatest(connect_ms - coalesce(dns_ms, 0) - coalesce(tls_ms, 0), 0)) AS tcp_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY tls_ms) AS tls_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ttfb_ms) AS head_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_judged_ms - ttfb_ms) AS text_ms
FROM latest
WHERE ttft_judged_ms IS NOT NULL
GROUP BY target, query
"""
)

ENDED = (
    _LATEST
    + """
SELECT target, outcome, stamp, count(*)::integer AS probes, max(lag_ms) AS worst_lag_ms
FROM latest
GROUP BY target, outcome, stamp
"""
)

HEALTH = """
SELECT target, page_healthy AS healthy, page_since AS since, page_checked_at AS checked_at,
    page_status AS status, page_unmet AS unmet, page_facts AS facts, contradiction
FROM report.health
WHERE page_checked_at IS NOT NULL
"""


# One question in SQL, for places that are no worker: the demo's summary, a person's command.


def read_only_rows(url: str, statement: str) -> Sequence[tuple[Any, ...]]:
    """Rows of a read-only statement."""
    with opened(url).connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        return [tuple(row) for row in connection.execute(text(statement))]


# Observations as people may see them, streamed: one page of memory, however long the history.


PAGE = 1000  # rows fetched at once
LONGEST_S = 3600  # of one statement: the history of a year


class ExportStream(NamedTuple):
    """Column names and their Postgres types, in order, and pages of rows."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    pages: Iterator[Sequence[tuple[Any, ...]]]


@contextmanager
def observed(url: str, since: timedelta) -> Iterator[ExportStream]:
    """Rows of `report.observations` since then, oldest first, by a cursor of the server.

    Raises Away when the server cannot serve us.
    """
    engine = opened(url, statement_timeout_s=LONGEST_S, idle_s=LONGEST_S)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            columns = connection.execute(_COLUMNS).all()
            options = {"stream_results": True, "yield_per": PAGE}
            found = connection.execute(
                _ROWS, {"since": since, "ahead": PARTITIONS_AHEAD}, execution_options=options
            )
            with closing(found):  # the reader may leave it half read
                pages = ([tuple(row) for row in page] for page in found.partitions(PAGE))
                names, types = zip(*columns, strict=True)
                yield ExportStream(names, types, pages)
    except DBAPIError as error:
        if no_database := unavailable(error):
            raise no_database from None
        raise
    finally:
        engine.dispose()


_COLUMNS = text("""
    SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = 'report.observations'::regclass AND attnum > 0 ORDER BY attnum
""")
# What is dated later than now was written while a clock was ahead.
_ROWS = text("""
    SELECT * FROM report.observations
    WHERE slot >= now() - :since AND slot <= now() + :ahead AND started_at <= now() + :ahead
    ORDER BY slot, id
""")
