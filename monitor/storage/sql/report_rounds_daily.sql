SELECT target, sum(expected)::integer AS expected, sum(missed)::integer AS missed
FROM (
    SELECT target, region, day, max(rounds_expected) AS expected, max(rounds_missed) AS missed
    FROM report.ttft_daily
    WHERE day >= :first_day AND day <= :last_day
    GROUP BY target, region, day
) AS days
GROUP BY target
