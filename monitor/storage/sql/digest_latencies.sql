WITH judged AS (
    SELECT target, slot, ttft_judged_ms AS ms FROM report.observations
    WHERE slot >= :since AND slot < :until AND origin <> 'manual' AND ttft_judged_ms IS NOT NULL
), rounds AS (
    SELECT target, count(*)::integer AS rounds, avg(mean) AS mean_ms
    FROM (SELECT target, slot, avg(ms) AS mean FROM judged GROUP BY 1, 2) AS means GROUP BY 1
)
SELECT target, rounds, mean_ms, count(*)::integer AS probes,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms,
    CASE WHEN CAST(:limit_ms AS double precision) IS NOT NULL
        THEN (count(*) FILTER (WHERE ms > :limit_ms))::integer END AS over
FROM judged JOIN rounds USING (target)
GROUP BY target, rounds, mean_ms
