SELECT target, region, query, day::timestamp AT TIME ZONE :zone AS at, ttft_p50_ms AS p50_ms,
    ttft_p90_ms AS p90_ms, ttft_max_ms AS worst_ms, judged AS samples, good, bad
FROM report.ttft_daily
WHERE day >= :first_day AND day <= :last_day AND probes > 0
ORDER BY day, query, region
