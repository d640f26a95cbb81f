SELECT target, query,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY dns_ms) AS dns_ms,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY greatest(connect_ms - coalesce(dns_ms, 0) - coalesce(tls_ms, 0), 0)) AS tcp_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY tls_ms) AS tls_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ttfb_ms) AS head_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_judged_ms - ttfb_ms) AS text_ms
FROM latest
WHERE ttft_judged_ms IS NOT NULL
GROUP BY target, query
