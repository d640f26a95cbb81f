-- Hours added up to days of the zone: means are weighted, histograms merged, percentiles never averaged.
CREATE FUNCTION report.ttft_days(since date, until date) RETURNS TABLE (
    day date, target text, region text, query text,
    probes integer, good integer, bad integer, judged integer, degraded integer,
    ttft_min_ms double precision, ttft_mean_ms double precision, ttft_max_ms double precision,
    ttft_p50_ms double precision, ttft_p90_ms double precision, ttft_p95_ms double precision,
    ttft_p99_ms double precision, ttft_histogram integer[],
    last_slot timestamptz, rounds_expected integer, rounds_missed integer
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
WITH settings AS MATERIALIZED (
    SELECT zone, since::timestamp AT TIME ZONE zone AS starts_at, until::timestamp AT TIME ZONE zone AS ends_at
    FROM report_state
), days AS MATERIALIZED (
    SELECT
        (h.hour AT TIME ZONE (SELECT zone FROM settings))::date AS day, h.target, h.region, h.query,
        sum(h.probes)::integer AS probes, sum(h.good)::integer AS good, sum(h.bad)::integer AS bad,
        sum(h.judged)::integer AS judged, sum(h.degraded)::integer AS degraded,
        min(h.ttft_min_ms) AS least,
        sum(h.ttft_mean_ms * h.judged) / NULLIF(sum(h.judged), 0) AS mean,
        max(h.ttft_max_ms) AS most,
        report.merge(h.ttft_histogram) AS histogram,
        max(h.last_slot) AS last_slot,
        sum(h.rounds_expected)::integer AS rounds_expected, sum(h.rounds_missed)::integer AS rounds_missed
    FROM live_ttft_hours AS h
    WHERE h.hour >= (SELECT starts_at FROM settings) AND h.hour < (SELECT ends_at FROM settings)
    GROUP BY 1, 2, 3, 4
)
SELECT
    d.day, d.target, d.region, d.query, d.probes, d.good, d.bad, d.judged, d.degraded,
    d.least, d.mean, d.most,
    least(greatest(report.percentile(d.histogram, 0.5), d.least), d.most),
    least(greatest(report.percentile(d.histogram, 0.9), d.least), d.most),
    least(greatest(report.percentile(d.histogram, 0.95), d.least), d.most),
    least(greatest(report.percentile(d.histogram, 0.99), d.least), d.most),
    d.histogram, d.last_slot, d.rounds_expected, d.rounds_missed
FROM days AS d
$$;

COMMENT ON FUNCTION report.ttft_days IS
'The figures of report.ttft_daily from one day up to another, added up from hours';
