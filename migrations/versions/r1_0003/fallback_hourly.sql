CREATE VIEW report.fallback_hourly AS
SELECT
    f.hour, f.target,
    sum(f.heard)::integer AS heard,
    sum(f.known)::integer AS known,
    sum(f.fallback)::integer AS fallback,
    sum(f.fallback)::double precision / NULLIF(sum(f.known), 0) AS share,
    sum(f.disputed)::integer AS disputed,
    sum(f.changed)::integer AS changed,
    sum(f.unknown)::integer AS unknown
FROM (
    -- An hour with probes has answers in some identity, failed ones in `unknown`; one without is a gap.
    SELECT h.hour, h.target, NULL::integer AS heard, NULL::integer AS known, NULL::integer AS fallback,
        NULL::integer AS disputed, NULL::integer AS changed, NULL::integer AS unknown
    FROM live_ttft_hours AS h
    UNION ALL
    SELECT a.hour, a.target, a.heard,
        CASE WHEN a.identity IN ('expected', 'fallback') THEN a.heard ELSE 0 END,
        CASE WHEN a.identity = 'fallback' THEN a.heard ELSE 0 END,
        CASE WHEN a.identity = 'disputed' THEN a.heard ELSE 0 END,
        CASE WHEN a.identity = 'changed' THEN a.heard ELSE 0 END,
        CASE WHEN a.identity = 'unknown' THEN a.heard ELSE 0 END
    FROM live_models_hours AS a
) AS f
GROUP BY f.hour, f.target;

COMMENT ON VIEW report.fallback_hourly IS 'Share of fallback answers by hour. Hours without samples are rows with NULL';
COMMENT ON COLUMN report.fallback_hourly.hour IS 'Start of the hour, UTC';
COMMENT ON COLUMN report.fallback_hourly.target IS 'Name of the watched service';
COMMENT ON COLUMN report.fallback_hourly.heard IS 'Probes that brought answer text or a known identity, count; NULL: no probes, a gap';
COMMENT ON COLUMN report.fallback_hourly.known IS 'Of these, by a model known to be expected or a fallback, count; NULL: a gap';
COMMENT ON COLUMN report.fallback_hourly.fallback IS 'Of the known, by a fallback, count; NULL: a gap';
COMMENT ON COLUMN report.fallback_hourly.share IS 'fallback / known, 0 to 1; NULL: no identity is known';
COMMENT ON COLUMN report.fallback_hourly.disputed IS 'Heard with evidence for both sides, count; counts as neither; NULL: a gap';
COMMENT ON COLUMN report.fallback_hourly.changed IS 'Heard from something that answers unlike before, count; counts as neither; NULL: a gap';
COMMENT ON COLUMN report.fallback_hourly.unknown IS 'Heard from nobody can tell whom, count; counts as neither; NULL: a gap';
