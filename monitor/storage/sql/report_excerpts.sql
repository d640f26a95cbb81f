-- The latest bad answer of each target, and beside it a good one, to the same query if possible.
-- While answers no longer matched the expected model, and in the round before, no answer counts as
-- good: it may already be of another model.
, bad AS (
    SELECT DISTINCT ON (target) id, slot, target, query, started_at, false AS is_good
    FROM latest
    WHERE has_excerpt AND identity IN ('fallback', 'changed', 'disputed') OR NOT good
        OR check_passed IS FALSE
    ORDER BY target, has_excerpt DESC, started_at DESC
), doubtful AS (
    SELECT i.target, coalesce(i.resolved_at, 'infinity') AS until, coalesce((
        SELECT max(l.slot) FROM latest AS l
        WHERE l.target = i.target AND l.slot < (
            SELECT min(b.slot) FROM latest AS b
            WHERE b.target = i.target AND b.started_at >= i.breach_since
        )
    ), i.breach_since) AS since
    FROM report.incidents AS i
    WHERE i.rule = 'model_changed' AND i.target = ANY(CAST(:targets AS text[]))
        AND i.opened_at < :until AND (i.resolved_at IS NULL OR i.resolved_at > :since)
), fine AS (
    SELECT DISTINCT ON (l.target) l.id, l.slot, l.target, l.query, l.started_at, true AS is_good
    FROM latest AS l LEFT JOIN bad AS b USING (target)
    WHERE l.good AND l.check_passed IS NOT FALSE AND l.has_excerpt AND l.identity IN ('expected', 'unknown')
        AND NOT EXISTS (
            SELECT FROM doubtful AS d
            WHERE d.target = l.target AND l.slot >= d.since AND l.slot < d.until
        )
    ORDER BY l.target, l.identity, l.query IS NOT DISTINCT FROM b.query DESC, l.started_at DESC
)
SELECT e.target, e.is_good, e.query, e.started_at AS at, o.model_detected AS model, o.identity,
    o.outcome, coalesce(o.error, o.check_failed) AS error, o.answer_excerpt AS text
FROM (SELECT * FROM bad UNION ALL SELECT * FROM fine) AS e
JOIN report.observations AS o ON o.id = e.id AND o.slot = e.slot
ORDER BY e.target, e.is_good DESC
