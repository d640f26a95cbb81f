-- As they were before this revision.
COMMENT ON COLUMN report.models_daily.model IS 'Who answered; NULL: nobody can tell';
COMMENT ON COLUMN report.cost_per_query_daily.model IS 'Who answered; NULL: nobody can tell';
COMMENT ON COLUMN report.fallback_hourly.unknown IS 'Heard from nobody can tell whom, count; counts as neither; NULL: a gap';
