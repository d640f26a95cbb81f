-- Of the latest raw rows of each target, so many at most: what no rollup keeps.
WITH latest AS MATERIALIZED (
    SELECT o.*
    FROM unnest(CAST(:targets AS text[])) AS t (name) CROSS JOIN LATERAL (
        SELECT target, query, outcome, stamp, lag_ms, dns_ms, connect_ms, tls_ms, ttfb_ms,
            ttft_judged_ms, id, slot, started_at, identity, good, check_passed, origin,
            answer_excerpt IS NOT NULL AS has_excerpt
        FROM report.observations
        WHERE target = t.name AND started_at >= :since AND slot >= :since AND slot < :until
            AND origin <> 'manual'
        ORDER BY started_at DESC
        LIMIT :most
    ) AS o
)
