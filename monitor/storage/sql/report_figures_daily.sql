SELECT target, query, probes, good, bad,
    least(report.percentile(histogram, 0.5), worst_ms) AS p50_ms,
    least(report.percentile(histogram, 0.9), worst_ms) AS p90_ms,
    least(report.percentile(histogram, 0.99), worst_ms) AS p99_ms, worst_ms,
    coalesce(report.share_above(histogram, CAST(:limit_ms AS double precision)),
        CASE WHEN histogram IS NOT NULL AND CAST(:limit_ms AS double precision) IS NOT NULL
            THEN 0 END) AS over_limit
FROM (
    SELECT target, query, sum(probes)::integer AS probes, sum(good)::integer AS good,
        sum(bad)::integer AS bad, max(ttft_max_ms) AS worst_ms,
        report.merge(ttft_histogram) AS histogram
    FROM report.ttft_daily
    WHERE day >= :first_day AND day <= :last_day
    GROUP BY GROUPING SETS ((target), (target, query))
) AS merged
WHERE probes > 0
ORDER BY query NULLS FIRST
