WITH rolled AS (
    SELECT day, sum(usd + low_usd) AS usd, sum(high_usd - low_usd) AS margin_usd,
        sum(unpriced) AS unpriced
    FROM answers_daily GROUP BY day
), reckoned AS (
    SELECT day, sum(probes_usd) AS usd, sum(probes_margin_usd) AS margin_usd,
        sum(unpriced) AS unpriced, max(reckoned_at) AS until, max(zone) AS zone,
        max(begins_at) AS begins_at, bool_or(stale) AS stale
    FROM spend_days GROUP BY day
)
SELECT d.day::date
FROM report_state AS s
CROSS JOIN LATERAL (
    SELECT greatest(min(day), (s.raw_since AT TIME ZONE s.zone)::date) AS first FROM rolled
) AS r
CROSS JOIN generate_series(r.first::timestamp, s.days_until::timestamp - interval '1 day',
    interval '1 day') AS d (day)
LEFT JOIN rolled USING (day)
LEFT JOIN reckoned USING (day)
WHERE s.days_until > '-infinity'
    AND coalesce(reckoned.begins_at, d.day AT TIME ZONE coalesce(reckoned.zone, s.zone))
        >= s.raw_since
    AND (
        reckoned.until IS DISTINCT FROM (d.day + interval '1 day') AT TIME ZONE s.zone
        OR reckoned.stale
        -- A day that begins elsewhere than the rollups' day has other sums.
        OR (reckoned.begins_at IS NULL AND (
            reckoned.usd <> coalesce(rolled.usd, 0)
            OR reckoned.margin_usd <> coalesce(rolled.margin_usd, 0)
            OR reckoned.unpriced <> coalesce(rolled.unpriced, 0)
        ))
    )
ORDER BY d.day LIMIT :most
