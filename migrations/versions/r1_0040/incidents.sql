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
    i.recovering_since, i.recovering_reason,
    i.since AS breach_since, i.earlier_breaches,
    answer.at AS acknowledged_at, answer.person AS acknowledged_by,
    nullif(i.finding ->> 'cause', '') AS likely_cause, i.finding ->> 'cause_owner' AS cause_owner,
    i.until AS breach_until
FROM incidents AS i
LEFT JOIN LATERAL (
    SELECT
        sum(s.usd * part.share)::numeric(20, 12) AS usd,
        sum((s.usd + s.margin_usd) * part.share)::numeric(20, 12) AS high_usd,
        bool_or(s.at_least) AS at_least
    FROM spend_hourly AS s
    CROSS JOIN LATERAL (
        SELECT greatest(s.hour, i.opened_at) AS starts_at,
            least(s.until, coalesce(i.resolved_at, now())) AS ends_at
    ) AS span
    CROSS JOIN LATERAL (
        -- A partly covered hour: by what its rows cost before, in and after the span.
        SELECT CASE WHEN span.starts_at = s.hour AND span.ends_at = s.until THEN 1.0 ELSE coalesce(
            (
                SELECT coalesce(sum(o.usd) FILTER (
                        WHERE o.started_at >= span.starts_at AND o.started_at < span.ends_at
                    ), 0) / nullif(sum(o.usd), 0)
                FROM (
                    SELECT r.started_at, coalesce(r.cost_usd, r.cost_high_usd) AS usd
                    FROM observations AS r
                    WHERE r.target = s.target AND r.model_detected IS NOT DISTINCT FROM s.model
                        AND r.slot >= s.hour AND r.slot < s.until
                        AND r.started_at >= s.hour AND r.started_at < s.until + interval '1 hour'
                ) AS o
            ),
            extract(epoch FROM span.ends_at - span.starts_at) / extract(epoch FROM s.until - s.hour)
        ) END AS share
    ) AS part
    WHERE s.hour > i.opened_at - interval '2 hours' AND s.hour < coalesce(i.resolved_at, now())
        AND s.until > greatest(s.hour, i.opened_at)
        AND (i.target IN ('all', s.target) OR (i.rule = 'key' AND i.target = s.provider))
) AS cost ON true
LEFT JOIN LATERAL (
    SELECT a.at, coalesce(a.name, a.actor) AS person
    FROM incident_actions AS a
    WHERE a.incident = coalesce(i.announced_as, i.number) AND a.action = 'acknowledge' AND a.undone_at IS NULL
    ORDER BY a.id
    LIMIT 1
) AS answer ON true;

COMMENT ON COLUMN report.incidents.breach_until IS 'Start of the first good observation after the latest breach, UTC; the rule resolves the incident later; NULL: in breach, not judged, or resolved before this column existed';
