SELECT
    d.late, (d.late AT TIME ZONE s.zone)::date AS late_day,
    (d.late AT TIME ZONE s.zone)::date < s.days_until AS day_was_rolled_up,
    NOT EXISTS (SELECT FROM rollups_due AS r WHERE r.hour > d.late
        AND (r.hour AT TIME ZONE s.zone)::date = (d.late AT TIME ZONE s.zone)::date
    ) AS late_day_ends,
    report.hour_of(now() - interval '5 minutes', s.zone) AS this_hour,
    CASE WHEN EXISTS (SELECT FROM rollups_hourly AS r
            WHERE r.hour >= s.hours_until - interval '7 days' AND r.probes > 0)
        THEN s.hours_until
        ELSE (SELECT report.hour_of(min(o.slot), s.zone) FROM observations AS o
            WHERE o.slot >= s.hours_until)
    END AS next_hour,
    (now() AT TIME ZONE s.zone)::date AS this_day,
    CASE WHEN s.days_until > '-infinity' THEN s.days_until
        ELSE coalesce((SELECT (min(r.hour) AT TIME ZONE s.zone)::date FROM rollups_hourly AS r),
            (now() AT TIME ZONE s.zone)::date) END AS next_day
FROM report_state AS s, (SELECT min(hour) AS late FROM rollups_due) AS d
FOR UPDATE OF s
