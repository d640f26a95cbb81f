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
