SELECT target, identity, report.bucket_ms(report.bucket(ttft_judged_ms)) AS ms,
    count(*)::integer AS samples
FROM report.observations
WHERE slot >= :since AND slot < :until AND origin <> 'manual' AND ttft_judged_ms IS NOT NULL
GROUP BY 1, 2, 3
