CREATE VIEW report.worker_absences AS
SELECT lower(a) AS began_at, upper(a) AS ended_at
FROM report_state AS s, unnest(s.absences) AS a;

COMMENT ON VIEW report.worker_absences IS 'Times in which no worker ran, as far as raw rows are kept. No round was due';
COMMENT ON COLUMN report.worker_absences.began_at IS 'Last sign of a worker, UTC; it may have run a few minutes longer';
COMMENT ON COLUMN report.worker_absences.ended_at IS 'Start of the next worker, UTC';
