-- A raw row from before needs no further look: the span has data from its start.
SELECT CASE
    WHEN EXISTS (SELECT FROM report.observations WHERE slot < :since) THEN CAST(:since AS timestamptz)
    ELSE (
        SELECT CASE
            WHEN days.day < (rows.at AT TIME ZONE report.zone())::date OR rows.at IS NULL
                THEN days.day::timestamp AT TIME ZONE report.zone()
            ELSE rows.at
        END
        FROM (SELECT min(slot) AS at FROM report.observations) AS rows,
            (SELECT min(day) AS day FROM report.ttft_daily WHERE probes > 0) AS days
    )
END
