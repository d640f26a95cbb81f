-- How far apart the rounds of the busiest target really were: one that takes longer than its
-- interval leaves out the next. Three of four rounds are no further apart.
SELECT min(apart) FROM (
    SELECT target, percentile_cont(0.75) WITHIN GROUP (ORDER BY apart) AS apart
    FROM (
        SELECT target, slot - lag(slot) OVER (PARTITION BY target ORDER BY slot) AS apart
        FROM (
            SELECT DISTINCT target, slot FROM report.observations
            WHERE slot >= :since AND slot < :until AND origin = 'round'
        ) AS rounds
    ) AS gaps
    GROUP BY target
) AS medians
