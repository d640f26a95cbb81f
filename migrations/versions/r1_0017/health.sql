-- The last hour of each target is found by its own index, however many rows others have.
-- A page that was not read for a day says nothing of the probes of the last hour.
-- New columns stand last: whoever selects by position keeps what they had.
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
        WHEN page.healthy AND (hour.bad > 0 OR hour.fallback > 0 OR hour.changed > 0) THEN
            'its health page says healthy while ' || regexp_replace(concat_ws(', ',
                CASE WHEN hour.bad > 0 THEN format('%s of %s probes failed', hour.bad, hour.probes) END,
                CASE WHEN hour.fallback > 0 THEN format('%s of %s answers fell back', hour.fallback, hour.known) END,
                CASE WHEN hour.changed > 0 THEN format(
                    '%s of %s answers no longer match the expected model', hour.changed, hour.heard) END
            ), ', ([^,]*)$', ' and \1') || ' within the hour'
    END AS contradiction,
    hour.disputed AS disputed_1h, hour.changed AS changed_1h, hour.unknown AS unknown_1h
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
        count(*) FILTER (WHERE o.pieces > 0 OR o.identity <> 'unknown')::integer AS heard,
        count(*) FILTER (WHERE o.identity = 'disputed')::integer AS disputed,
        count(*) FILTER (WHERE o.identity = 'changed')::integer AS changed,
        count(*) FILTER (WHERE o.identity = 'unknown' AND o.pieces > 0)::integer AS unknown,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY o.ttft_ms) FILTER (WHERE o.stamp <> 'degraded') AS median
    FROM observations AS o
    WHERE o.target = t.target AND o.slot >= now() - interval '1 hour' AND o.origin <> 'manual'
        AND o.started_at >= now() - interval '65 minutes' -- by the index of the target: clocks are no further apart
) AS hour ON true
LEFT JOIN LATERAL (
    SELECT r.* FROM health_readings AS r WHERE r.target = t.target ORDER BY r.at DESC LIMIT 1
) AS page ON true;

COMMENT ON COLUMN report.health.disputed_1h IS 'Probes of the last hour whose evidence names two models, count';
COMMENT ON COLUMN report.health.changed_1h IS 'Probes of the last hour whose answers no longer match the expected model and match no other known one, count';
COMMENT ON COLUMN report.health.unknown_1h IS 'Probes of the last hour with answer text whose model is not identified, count';
COMMENT ON COLUMN report.health.contradiction IS 'Where the page, read within a day, calls itself healthy and our probes do not, in one sentence; NULL: they agree, or it cannot be judged';
