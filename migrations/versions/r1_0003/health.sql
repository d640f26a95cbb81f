CREATE VIEW report.health AS
SELECT
    t.target, last.started_at AS last_probe_at, good.started_at AS last_good_at, last.outcome AS last_outcome,
    hour.probes AS probes_1h, hour.bad AS bad_1h, hour.known AS known_1h, hour.fallback AS fallback_1h,
    hour.median AS ttft_p50_1h_ms,
    (SELECT count(*)::integer FROM incidents AS i
        WHERE i.resolved_at IS NULL AND i.target IN (t.target, 'all')) AS open_incidents,
    page.healthy AS page_healthy, page.at AS page_since, page.checked_at AS page_checked_at,
    page.http_status AS page_status, page.unmet AS page_unmet, page.facts AS page_facts,
    CASE
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
) AS hour ON true
LEFT JOIN LATERAL (
    SELECT r.* FROM health_readings AS r WHERE r.target = t.target ORDER BY r.at DESC LIMIT 1
) AS page ON true;

COMMENT ON VIEW report.health IS 'How each target is now: what our probes say, what its own health page says, and whether the two agree';
COMMENT ON COLUMN report.health.target IS 'Name of the watched service';
COMMENT ON COLUMN report.health.last_probe_at IS 'Start of the latest probe, UTC; NULL: none within 7 days';
COMMENT ON COLUMN report.health.last_good_at IS 'Start of the latest answered probe, UTC; NULL: none within 7 days';
COMMENT ON COLUMN report.health.last_outcome IS 'How the latest probe ended';
COMMENT ON COLUMN report.health.probes_1h IS 'Probes of the last hour, count';
COMMENT ON COLUMN report.health.bad_1h IS 'Failed probes of the last hour, count';
COMMENT ON COLUMN report.health.known_1h IS 'Probes of the last hour answered by a known model, expected or fallback, count';
COMMENT ON COLUMN report.health.fallback_1h IS 'Of these, by a fallback, count';
COMMENT ON COLUMN report.health.ttft_p50_1h_ms IS 'Median TTFT of the last hour, ms, exact; NULL: no samples';
COMMENT ON COLUMN report.health.open_incidents IS 'Incidents of the target or of everything that are open, count';
COMMENT ON COLUMN report.health.page_healthy IS 'What its own health page says; NULL: not read, or it cannot be judged';
COMMENT ON COLUMN report.health.page_since IS 'Since when the page says so, UTC; NULL: not read';
COMMENT ON COLUMN report.health.page_checked_at IS 'When the page was read last, UTC; NULL: not read';
COMMENT ON COLUMN report.health.page_status IS 'HTTP status of the page; NULL: no answer';
COMMENT ON COLUMN report.health.page_unmet IS 'Expectations the page did not meet';
COMMENT ON COLUMN report.health.page_facts IS 'What the expectations looked at';
COMMENT ON COLUMN report.health.contradiction IS 'Where the page calls itself healthy and our probes do not, in one sentence; NULL: they agree, or nobody can tell';
