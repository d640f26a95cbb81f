CREATE VIEW report.mutes AS
SELECT m.id, m.rule, m.target, m.reason, m.muted_by, m.muted_at, m.until, m.until > now() AS is_active
FROM mutes AS m;

COMMENT ON VIEW report.mutes IS 'Notifications that people muted: who, why and until when. Maintenance windows are in the configuration, not here';
COMMENT ON COLUMN report.mutes.id IS 'Number of the mute';
COMMENT ON COLUMN report.mutes.rule IS 'Muted rule, or all';
COMMENT ON COLUMN report.mutes.target IS 'Muted target, provider or channel, or all';
COMMENT ON COLUMN report.mutes.reason IS 'Why, as the person wrote it';
COMMENT ON COLUMN report.mutes.muted_by IS 'Who muted';
COMMENT ON COLUMN report.mutes.muted_at IS 'Since when, UTC';
COMMENT ON COLUMN report.mutes.until IS 'Until when, UTC; unmuting moves it to that moment';
COMMENT ON COLUMN report.mutes.is_active IS 'True: not over yet';
