CREATE OR REPLACE VIEW live_answers_days AS
SELECT * FROM answers_daily WHERE day < (SELECT days_until FROM report_state)
UNION ALL
SELECT * FROM report.answers_days((SELECT days_until FROM report_state), 'infinity');

CREATE OR REPLACE VIEW live_models_days AS
SELECT * FROM models_daily WHERE day < (SELECT days_until FROM report_state)
UNION ALL
SELECT * FROM report.models_days((SELECT days_until FROM report_state), 'infinity');
