SELECT DISTINCT ON (announced_as) announced_as AS number, rule, target AS scope,
    min(opened_at) OVER one AS opened_at,
    CASE WHEN NOT bool_or(is_open) OVER one THEN max(resolved_at) OVER one END AS resolved_at,
    recovering_since
FROM report.incidents
WHERE resolved_at IS NULL OR resolved_at >= :since
WINDOW one AS (PARTITION BY announced_as)
ORDER BY announced_as, is_open DESC, recovering_since NULLS FIRST, part_of NULLS FIRST,
    incidents.number
