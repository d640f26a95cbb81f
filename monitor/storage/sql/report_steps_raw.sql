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
