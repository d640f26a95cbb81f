SELECT number, rule, target AS scope, opened_at, resolved_at, peak, limit_value AS limit, because,
    cost_usd, coalesce(cost_at_least, false) AS cost_at_least, first_seen_at, opening_because,
    cost_high_usd, recovering_reason, breach_since, earlier_breaches, breach_until
FROM report.incidents
WHERE opened_at < :until AND (resolved_at IS NULL OR resolved_at > :since)
ORDER BY opened_at DESC, number DESC
LIMIT 200
