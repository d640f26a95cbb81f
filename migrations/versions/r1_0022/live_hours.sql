CREATE OR REPLACE VIEW live_answers_hours AS
SELECT * FROM answers_hourly WHERE hour < (SELECT hours_until FROM report_state)
UNION ALL
SELECT * FROM report.answers_hours((SELECT hours_until FROM report_state), 'infinity');

CREATE OR REPLACE VIEW live_models_hours AS
SELECT * FROM models_hourly WHERE hour < (SELECT hours_until FROM report_state)
UNION ALL
SELECT * FROM report.models_hours((SELECT hours_until FROM report_state), 'infinity');
