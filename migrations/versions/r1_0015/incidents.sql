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
    coalesce(i.announced_as, i.number) AS announced_as
FROM incidents AS i
LEFT JOIN LATERAL (
    SELECT
        sum(s.usd * (extract(epoch FROM least(s.until, coalesce(i.resolved_at, now())) - greatest(s.hour, i.opened_at))
            / extract(epoch FROM s.until - s.hour)))::numeric(20, 12) AS usd,
        bool_or(s.at_least) AS at_least
    FROM spend_hourly AS s
    WHERE s.hour > i.opened_at - interval '1 hour' AND s.hour < coalesce(i.resolved_at, now())
        AND s.until > greatest(s.hour, i.opened_at)
        AND (i.target IN ('all', s.target) OR (i.rule = 'key' AND i.target = s.provider))
) AS cost ON true;

COMMENT ON VIEW report.incidents IS 'Breaches of rules from opening to resolution, with how soon they were found, told and over, and what ran up meanwhile';
COMMENT ON COLUMN report.incidents.number IS 'Number people say aloud; messages carry it';
COMMENT ON COLUMN report.incidents.rule IS 'Which rule was broken';
COMMENT ON COLUMN report.incidents.target IS 'A target, a provider (rule key), a channel (rule delivery), or all';
COMMENT ON COLUMN report.incidents.opened_at IS 'When the breach was certain, UTC';
COMMENT ON COLUMN report.incidents.resolved_at IS 'When it was over, UTC; NULL: open';
COMMENT ON COLUMN report.incidents.is_open IS 'True: not over yet';
COMMENT ON COLUMN report.incidents.duration_s IS 'Opening to resolution, or to now while open, s';
COMMENT ON COLUMN report.incidents.first_seen_at IS 'Start of the first bad row of the breach, UTC, fixed at opening; NULL: not known';
COMMENT ON COLUMN report.incidents.detected_after_s IS 'Time to detect, s: first_seen_at to opened_at; NULL: not known';
COMMENT ON COLUMN report.incidents.told_at IS 'When a channel first accepted an audible message about it, UTC; NULL: never';
COMMENT ON COLUMN report.incidents.told_after_s IS 'Time to notify, s: first_seen_at to told_at; NULL: not notified, or first_seen_at is not known';
COMMENT ON COLUMN report.incidents.opening_value IS 'Value that opened it, in the rule''s unit: ttft ms, fallback share 0 to 1, spend USD';
COMMENT ON COLUMN report.incidents.peak IS 'Worst value while open, in the rule''s unit';
COMMENT ON COLUMN report.incidents.value IS 'Latest judged value, in the rule''s unit';
COMMENT ON COLUMN report.incidents.limit_value IS 'Limit in force, in the rule''s unit';
COMMENT ON COLUMN report.incidents.because IS 'The latest judgement while in breach, in one sentence';
COMMENT ON COLUMN report.incidents.cost_usd IS 'What probes and traffic of its target cost while it was open, USD; partly covered hours pro rata; NULL: not known';
COMMENT ON COLUMN report.incidents.cost_at_least IS 'True: something in cost_usd has no price';
COMMENT ON COLUMN report.incidents.reopenings IS 'How often it came back soon after a resolution, count';
COMMENT ON COLUMN report.incidents.part_of IS 'Number of the incident whose message tells of this one, too; NULL: it has its own';
COMMENT ON COLUMN report.incidents.opening_because IS 'The sentence it fired with, or came back with; NULL: not known';
COMMENT ON COLUMN report.incidents.announced_as IS 'The number its messages carry: its own, or that of the incident it was first announced with';
