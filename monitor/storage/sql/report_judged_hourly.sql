SELECT target, date_trunc(:unit, hour, :zone) AS at,
    sum(known - fallback)::integer AS expected, sum(fallback)::integer AS fallback,
    sum(changed)::integer AS changed, sum(disputed)::integer AS disputed,
    sum(unknown)::integer AS unknown
FROM report.fallback_hourly
WHERE hour >= :since AND hour < :until AND heard > 0
GROUP BY 1, 2
ORDER BY 2
