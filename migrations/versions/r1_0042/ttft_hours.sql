-- Latencies by hour, straight from raw rows: percentiles are exact. Hours without samples are rows, too, for a
-- week after the last sample of a target, region and query; then it counts as no longer watched.
CREATE OR REPLACE FUNCTION report.ttft_hours(since timestamptz, until timestamptz) RETURNS TABLE (
    hour timestamptz, target text, region text, query text,
    probes integer, good integer, bad integer, judged integer, degraded integer,
    ttft_min_ms double precision, ttft_mean_ms double precision, ttft_max_ms double precision,
    ttft_p50_ms double precision, ttft_p90_ms double precision, ttft_p95_ms double precision,
    ttft_p99_ms double precision, ttft_histogram integer[],
    last_slot timestamptz, rounds_expected integer, rounds_missed integer
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET jit = off AS $$
WITH settings AS MATERIALIZED (
    -- Of the absences only those near the span: each is compared with each target and hour.
    SELECT zone, absences * tstzmultirange(
        tstzrange(since - interval '2 hours', greatest(since, until) + interval '2 hours')
    ) AS absences
    FROM report_state
), seen AS MATERIALIZED (
    SELECT
        report.hour_of(o.slot, (SELECT zone FROM settings)) AS hour,
        o.target, o.region, o.query, o.slot, o.origin, o.outcome, o.stamp,
        CASE WHEN o.stamp <> 'degraded' THEN o.ttft_ms END AS ttft_ms
    FROM observations AS o
    WHERE o.slot >= since AND o.slot < until AND o.origin <> 'manual'
), figures AS (
    SELECT
        s.hour, s.target, s.region, s.query,
        count(*)::integer AS probes,
        count(*) FILTER (WHERE s.outcome = 'answered') AS good,
        count(*) FILTER (WHERE s.outcome NOT IN ('answered', 'rate_limited', 'aborted')) AS bad,
        count(s.ttft_ms) AS judged,
        count(*) FILTER (WHERE s.stamp = 'degraded') AS degraded,
        min(s.ttft_ms) AS least, avg(s.ttft_ms) AS mean, max(s.ttft_ms) AS most,
        percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY s.ttft_ms) AS ranked,
        max(s.slot) AS last_slot
    FROM seen AS s
    GROUP BY s.hour, s.target, s.region, s.query
), histograms AS (
    SELECT b.hour, b.target, b.region, b.query,
        array_agg(ARRAY[b.bucket, b.samples] ORDER BY b.bucket) AS histogram
    FROM (
        SELECT s.hour, s.target, s.region, s.query,
            report.bucket(s.ttft_ms) AS bucket, count(*)::integer AS samples
        FROM seen AS s
        WHERE s.ttft_ms IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5
    ) AS b
    GROUP BY b.hour, b.target, b.region, b.query
), watched AS (
    SELECT w.target, w.region, w.query, min(w.hour) AS first_hour, max(w.last_slot) AS last_slot
    FROM (
        SELECT f.target, f.region, f.query, f.hour, f.last_slot FROM figures AS f
        UNION ALL
        SELECT r.target, r.region, r.query, r.hour, r.last_slot
        FROM rollups_hourly AS r
        WHERE r.hour >= since - interval '7 days' AND r.hour < since AND r.probes > 0
    ) AS w
    GROUP BY w.target, w.region, w.query
), hours AS (
    -- Half hours, because an hour in which the clock steps by half an hour lasts 30 or 90 minutes.
    SELECT report.hour_of(h.at, s.zone) AS hour, max(h.at) + interval '30 minutes' AS ends_at
    FROM settings AS s, (SELECT min(first_hour) AS first_hour FROM watched) AS w,
        generate_series(
            CASE WHEN w.first_hour IS NOT NULL THEN greatest(report.hour_of(since, s.zone), w.first_hour) END,
            least(until, now()) - interval '1 microsecond',
            interval '30 minutes'
        ) AS h (at)
    GROUP BY 1
), asked AS (
    -- A round counts as asked when it left a sample and nobody marked it missed: while the database was away no
    -- slot could be claimed, and its rounds were asked all the same. The last ten minutes may still be under way.
    -- What was asked while its target was not watched, or before it had to begin, was due because it was asked.
    SELECT a.hour, a.target, a.region,
        count(*) FILTER (WHERE a.whole)::integer AS whole,
        count(*) FILTER (WHERE a.unwatched)::integer AS unwatched,
        count(*) FILTER (WHERE a.unwatched IS NOT TRUE)::integer AS known
    FROM (
        SELECT b.*, b.slot < t.since OR b.slot >= t.gone_at OR b.slot <@ (SELECT absences FROM settings)
            OR b.slot >= now() - least(t.every_s, 300) * interval '1 second' AS unwatched
        FROM (
            SELECT u.hour, u.target, u.region, u.slot,
                bool_and(u.missed IS NULL) AND bool_or(u.heard) AS whole
            FROM (
                SELECT s.hour, s.target, s.region, s.slot, NULL AS missed, true AS heard
                FROM seen AS s
                WHERE s.origin = 'round'
                UNION ALL
                SELECT report.hour_of(c.slot, (SELECT zone FROM settings)), c.target, c.region, c.slot,
                    c.missed, c.missed IS NULL AND c.finished_at IS NULL AND c.slot > now() - interval '10 minutes'
                FROM slots AS c
                WHERE c.slot >= since AND c.slot < until
            ) AS u
            GROUP BY u.hour, u.target, u.region, u.slot
        ) AS b
        LEFT JOIN report_targets AS t ON t.target = b.target
        WHERE t.every_s IS NULL OR b.whole OR b.slot < now() - least(t.every_s, 300) * interval '1 second'
    ) AS a
    GROUP BY a.hour, a.target, a.region
), rounds AS (
    -- Slots are aligned to 1970-01-01: so many of its multiples lie in the part of the hour in which the target was
    -- configured with this interval and some worker ran. A round begins within its interval, at most five minutes after
    -- its slot: before that it is due only if it was asked.
    SELECT s.hour, s.target,
        (report.slots_between(s.since, s.until, s.every_s) - coalesce((
            SELECT sum(report.slots_between(greatest(lower(a), s.since), least(upper(a), s.until), s.every_s))
            FROM unnest((SELECT absences FROM settings)) AS a
        ), 0))::integer AS expected
    FROM (
        SELECT h.hour, t.target, t.every_s, greatest(h.hour, t.since) AS since,
            least(h.ends_at, t.gone_at, now() - least(t.every_s, 300) * interval '1 second') AS until
        FROM hours AS h CROSS JOIN report_targets AS t
    ) AS s
)
SELECT
    h.hour, w.target, w.region, w.query,
    coalesce(f.probes, 0), coalesce(f.good, 0)::integer, coalesce(f.bad, 0)::integer,
    coalesce(f.judged, 0)::integer, coalesce(f.degraded, 0)::integer,
    f.least, f.mean, f.most, f.ranked[1], f.ranked[2], f.ranked[3], f.ranked[4],
    g.histogram, f.last_slot,
    CASE WHEN r.expected IS NOT NULL THEN greatest(r.expected, a.known) + coalesce(a.unwatched, 0) END,
    greatest(coalesce(greatest(r.expected, a.known), 0) + coalesce(a.unwatched, 0) - coalesce(a.whole, 0), 0)
FROM watched AS w
JOIN hours AS h ON h.hour >= w.first_hour AND h.hour <= w.last_slot + interval '7 days'
LEFT JOIN figures AS f USING (hour, target, region, query)
LEFT JOIN histograms AS g USING (hour, target, region, query)
LEFT JOIN rounds AS r USING (hour, target)
LEFT JOIN asked AS a USING (hour, target, region)
$$;

COMMENT ON FUNCTION report.ttft_hours IS
'The figures of report.ttft_hourly between two instants, straight from raw rows, however far rollups have come';
