-- Finished days as rolled up, the running one from its hours.
CREATE VIEW live_ttft_days AS
SELECT * FROM rollups_daily WHERE day < (SELECT days_until FROM report_state)
UNION ALL
SELECT * FROM report.ttft_days((SELECT days_until FROM report_state), 'infinity');

CREATE VIEW live_answers_days AS
SELECT * FROM answers_daily WHERE day < (SELECT days_until FROM report_state)
UNION ALL
SELECT * FROM report.answers_days((SELECT days_until FROM report_state), 'infinity');

CREATE VIEW live_models_days AS
SELECT * FROM models_daily WHERE day < (SELECT days_until FROM report_state)
UNION ALL
SELECT * FROM report.models_days((SELECT days_until FROM report_state), 'infinity');
