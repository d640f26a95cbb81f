SELECT target, region, query, hour AS at, ttft_p50_ms AS p50_ms, ttft_p90_ms AS p90_ms,
    ttft_max_ms AS worst_ms, judged AS samples, good, bad
FROM report.ttft_hourly
WHERE hour >= :since AND hour < :until AND probes > 0
ORDER BY hour, query, region
