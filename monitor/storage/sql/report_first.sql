-- A raw row from before needs no further look: then the span has data from its start.
WITH rows AS (SELECT min(slot) AS at FROM report.observations),
days AS (
    SELECT min(day) AS day FROM report.ttft_daily
    WHERE probes > 0 AND NOT EXISTS (SELECT FROM report.observations WHERE slot < :since)
)
SELECT CASE
    WHEN EXISTS (SELECT FROM report.observations WHERE slot < :since) THEN CAST(:since AS timestamptz)
    WHEN days.day < (rows.at AT TIME ZONE report.zone())::date OR rows.at IS NULL
        THEN days.day::timestamp AT TIME ZONE report.zone()
    ELSE rows.at
END
FROM rows, days
