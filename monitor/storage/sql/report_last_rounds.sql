-- The probes of the latest round of each target, of the last week.
SELECT r.target, r.slot, r.started_at, r.region, r.query, r.outcome, r.error, r.ttft_ms,
    r.model_detected AS model, r.identity, r.cost_usd, r.good,
    CASE WHEN r.check_passed = false THEN r.check_failed END AS check_failed
FROM unnest(CAST(:targets AS text[])) AS t (name)
CROSS JOIN LATERAL (
    SELECT max(slot) AS slot
    FROM (
        SELECT slot FROM report.observations
        WHERE target = t.name AND origin = 'round' AND slot <= :until
            AND slot > CAST(:until AS timestamptz) - interval '7 days'
            AND started_at > CAST(:until AS timestamptz) - interval '7 days'
        ORDER BY started_at DESC LIMIT 1
    ) AS latest
) AS last
JOIN report.observations AS r ON r.target = t.name AND r.slot = last.slot AND r.origin = 'round'
ORDER BY r.target, r.query, r.region
