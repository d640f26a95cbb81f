-- Finished hours as rolled up, later ones from raw rows: right at every moment, and cheap once rolled up.
CREATE VIEW live_ttft_hours AS
SELECT * FROM rollups_hourly WHERE hour < (SELECT hours_until FROM report_state)
UNION ALL
SELECT * FROM report.ttft_hours((SELECT hours_until FROM report_state), 'infinity');

CREATE VIEW live_answers_hours AS
SELECT * FROM answers_hourly WHERE hour < (SELECT hours_until FROM report_state)
UNION ALL
SELECT * FROM report.answers_hours((SELECT hours_until FROM report_state), 'infinity');

CREATE VIEW live_models_hours AS
SELECT * FROM models_hourly WHERE hour < (SELECT hours_until FROM report_state)
UNION ALL
SELECT * FROM report.models_hours((SELECT hours_until FROM report_state), 'infinity');
