CREATE OR REPLACE VIEW report.incidents AS
SELECT
    i.number, i.rule, i.target, i.opened_at, i.resolved_at, i.resolved_at IS NULL AS is_open,
    extract(epoch FROM coalesce(i.resolved_at, now()) - i.opened_at)::double precision AS duration_s,
    i.first_seen_at,
    extract(epoch FROM i.opened_at - i.first_seen_at)::double precision AS detected_after_s,
    i.told_at,
    extract(epoch FROM i.told_at - i.first_seen_at)::double precision AS told_after_s,
    i.opening_value, i.peak, i.value, i.limit_value, i.because,
    cost.usd AS cost_usd, cost.at_least AS cost_at_least,
    i.reopenings, i.part_of,
    i.opening_because,
    coalesce(i.announced_as, i.number) AS announced_as,
    cost.high_usd AS cost_high_usd,
    nullif(i.query, '') AS query,
    i.recovering_since, i.recovering_reason
FROM incidents AS i
LEFT JOIN LATERAL (
    SELECT
        sum(s.usd * part.share)::numeric(20, 12) AS usd,
        sum((s.usd + s.margin_usd) * part.share)::numeric(20, 12) AS high_usd,
        bool_or(s.at_least) AS at_least
    FROM spend_hourly AS s
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM least(s.until, coalesce(i.resolved_at, now())) - greatest(s.hour, i.opened_at))
            / extract(epoch FROM s.until - s.hour) AS share
    ) AS part
    WHERE s.hour > i.opened_at - interval '2 hours' AND s.hour < coalesce(i.resolved_at, now())
        AND s.until > greatest(s.hour, i.opened_at)
        AND (i.target IN ('all', s.target) OR (i.rule = 'key' AND i.target = s.provider))
) AS cost ON true;

COMMENT ON COLUMN report.incidents.recovering_since IS 'Open, but not in breach since then; NULL: in breach, or resolved';
COMMENT ON COLUMN report.incidents.recovering_reason IS 'How it is meanwhile, in one sentence';
