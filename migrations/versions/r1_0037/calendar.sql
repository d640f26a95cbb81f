-- What has ended or changed stays for a week.
CREATE VIEW report.calendar AS
SELECT
    c.ends_at, extract(epoch FROM c.ends_at - now())::double precision / 86400 AS days_left, c.kind, c.scope,
    nullif(c.model, '') AS model, c.what, c.source, c.first_seen_at, c.seen_at, c.notified_days
FROM calendar_entries AS c
WHERE c.gone_at IS NULL AND c.ends_at > now() - interval '7 days';

COMMENT ON VIEW report.calendar IS 'Dates ahead: ends of keys, credit, certificates and models, and changes of prices. One row a date.';
COMMENT ON COLUMN report.calendar.ends_at IS 'When it ends, UTC; of a change that was not announced: when it was seen';
COMMENT ON COLUMN report.calendar.days_left IS 'From now to ends_at, days; negative: over';
COMMENT ON COLUMN report.calendar.kind IS 'key, credit (at the rate of the last day), certificate, model (announced end), unlisted (left the provider''s list) or price (changed)';
COMMENT ON COLUMN report.calendar.scope IS 'Target of a certificate, otherwise provider';
COMMENT ON COLUMN report.calendar.model IS 'Model, as the configuration names it; NULL: not about a model';
COMMENT ON COLUMN report.calendar.what IS 'What happens then, in words';
COMMENT ON COLUMN report.calendar.source IS 'Where it was read';
COMMENT ON COLUMN report.calendar.first_seen_at IS 'When it was first read, UTC';
COMMENT ON COLUMN report.calendar.seen_at IS 'When it was last read, UTC';
COMMENT ON COLUMN report.calendar.notified_days IS 'Latest notice, in days before ends_at; 0: after a change; NULL: no notice yet';
