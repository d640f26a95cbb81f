CREATE VIEW report.missed_rounds AS
SELECT
    s.slot, s.target, s.region, s.worker,
    coalesce(s.missed, 'the worker stopped before the round was finished') AS reason,
    s.claimed_at, s.finished_at
FROM slots AS s
WHERE s.missed IS NOT NULL OR (s.finished_at IS NULL AND s.slot <= now() - interval '10 minutes');

COMMENT ON VIEW report.missed_rounds IS 'Rounds that a worker took and did not finish, with the reason. A round that no worker took has no row: report.ttft_hourly.rounds_missed counts it, too';
COMMENT ON COLUMN report.missed_rounds.slot IS 'Scheduled time of the round, UTC';
COMMENT ON COLUMN report.missed_rounds.target IS 'Name of the watched service';
COMMENT ON COLUMN report.missed_rounds.region IS 'Where the probes would have been sent from';
COMMENT ON COLUMN report.missed_rounds.worker IS 'Machine that took the round';
COMMENT ON COLUMN report.missed_rounds.reason IS 'Why the round was not sent, or not sent completely';
COMMENT ON COLUMN report.missed_rounds.claimed_at IS 'When the worker took it, UTC';
COMMENT ON COLUMN report.missed_rounds.finished_at IS 'When the worker gave it up, UTC; NULL: the worker stopped without a word';
