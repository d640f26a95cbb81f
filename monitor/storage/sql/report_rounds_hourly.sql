SELECT target, sum(expected)::integer AS expected, sum(missed)::integer AS missed
FROM (
    SELECT target, region, hour, max(rounds_expected) AS expected, max(rounds_missed) AS missed
    FROM report.ttft_hourly
    WHERE hour > CAST(:since AS timestamptz) - interval '1 hour' AND hour < :until
    GROUP BY target, region, hour
) AS hours
GROUP BY target
