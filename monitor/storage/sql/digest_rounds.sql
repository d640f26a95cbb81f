SELECT sum(expected)::integer AS rounds_expected, sum(missed)::integer AS rounds_missed
FROM (
    SELECT max(rounds_expected) AS expected, max(rounds_missed) AS missed
    FROM report.ttft_hourly WHERE hour >= :since AND hour < :until
    GROUP BY target, region, hour
) AS hours
