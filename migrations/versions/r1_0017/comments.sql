-- An answer that is `changed` was judged: only its model is not identified.
COMMENT ON COLUMN report.models_daily.model IS 'Who answered; NULL: not identified, see identity';
COMMENT ON COLUMN report.cost_per_query_daily.model IS 'Who answered; NULL: not identified';
COMMENT ON COLUMN report.fallback_hourly.unknown IS 'Heard with text whose model is not identified, count; counts as neither; NULL: a gap';
