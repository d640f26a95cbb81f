SELECT sum(expected)::integer AS rounds_expected, sum(missed)::integer AS rounds_missed,
    (SELECT sum(least(ended_at, :until) - greatest(began_at, :since))
        FROM report.worker_absences
        WHERE began_at < :until AND ended_at > :since
            -- A shorter one may be a restart: the time between two signs of a worker.
            AND ended_at - began_at >= interval '10 minutes') AS absent
FROM (
    SELECT max(rounds_expected) AS expected, max(rounds_missed) AS missed
    FROM report.ttft_hourly WHERE hour >= :since AND hour < :until
    GROUP BY target, region, hour
) AS hours
