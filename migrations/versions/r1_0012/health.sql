-- The last hour of each target is found by its own index, however many rows others have.
-- A page that was not read for a day says nothing of the probes of the last hour.
CREATE OR REPLACE VIEW report.health AS
SELECT
    t.target, last.started_at AS last_probe_at, good.started_at AS last_good_at, last.outcome AS last_outcome,
    hour.probes AS probes_1h, hour.bad AS bad_1h, hour.known AS known_1h, hour.fallback AS fallback_1h,
    hour.median AS ttft_p50_1h_ms,
    (SELECT count(*)::integer FROM incidents AS i
        WHERE i.resolved_at IS NULL AND i.target IN (t.target, 'all')) AS open_incidents,
    page.healthy AS page_healthy, page.at AS page_since, page.checked_at AS page_checked_at,
    page.http_status AS page_status, page.unmet AS page_unmet, page.facts AS page_facts,
    CASE
        WHEN page.checked_at < now() - interval '1 day' THEN NULL
        WHEN page.healthy AND hour.bad > 0 AND hour.fallback > 0 THEN format(
            'its health page says healthy while %s of %s probes failed and %s of %s answers fell back within the hour',
            hour.bad, hour.probes, hour.fallback, hour.known)
        WHEN page.healthy AND hour.bad > 0 THEN format(
            'its health page says healthy while %s of %s probes failed within the hour', hour.bad, hour.probes)
        WHEN page.healthy AND hour.fallback > 0 THEN format(
            'its health page says healthy while %s of %s answers fell back within the hour', hour.fallback, hour.known)
    END AS contradiction
FROM (
    SELECT r.target FROM report_targets AS r
    UNION
    SELECT h.target FROM live_ttft_hours AS h WHERE h.hour >= now() - interval '7 days'
) AS t
LEFT JOIN LATERAL (
    SELECT o.started_at, o.outcome FROM observations AS o
    WHERE o.target = t.target AND o.slot >= now() - interval '7 days' AND o.origin <> 'manual'
        AND o.started_at >= now() - interval '7 days'
    ORDER BY o.started_at DESC LIMIT 1
) AS last ON true
LEFT JOIN LATERAL (
    SELECT o.started_at FROM observations AS o
    WHERE o.target = t.target AND o.slot >= now() - interval '7 days' AND o.origin <> 'manual'
        AND o.started_at >= now() - interval '7 days' AND o.outcome = 'answered'
    ORDER BY o.started_at DESC LIMIT 1
) AS good ON true
LEFT JOIN LATERAL (
    SELECT
        count(*)::integer AS probes,
        count(*) FILTER (WHERE o.outcome NOT IN ('answered', 'rate_limited', 'aborted'))::integer AS bad,
        count(o.fallback)::integer AS known,
        count(*) FILTER (WHERE o.fallback)::integer AS fallback,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY o.ttft_ms) FILTER (WHERE o.stamp <> 'degraded') AS median
    FROM observations AS o
    WHERE o.target = t.target AND o.slot >= now() - interval '1 hour' AND o.origin <> 'manual'
        AND o.started_at >= now() - interval '65 minutes' -- by the index of the target: clocks are no further apart
) AS hour ON true
LEFT JOIN LATERAL (
    SELECT r.* FROM health_readings AS r WHERE r.target = t.target ORDER BY r.at DESC LIMIT 1
) AS page ON true;
