SELECT max(d.reckoned_at)
FROM spend_days AS d, report_state AS s
WHERE d.day = CAST(:day AS date) - 1
    AND coalesce(d.begins_at, d.day::timestamp AT TIME ZONE coalesce(d.zone, s.zone))
        < s.raw_since
    AND d.reckoned_at <> CAST(:day AS date)::timestamp AT TIME ZONE s.zone
    AND d.zone IS DISTINCT FROM s.zone
