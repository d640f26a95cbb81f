WITH state AS MATERIALIZED (
    SELECT * FROM report_state FOR UPDATE
), looked AS (
    UPDATE report_state SET seen_until = now()
)
INSERT INTO rollups_due (hour)
SELECT DISTINCT report.hour_of(o.slot, (SELECT zone FROM state))
FROM observations AS o
WHERE o.recorded_at >= (SELECT least(seen_until, now()) - interval '10 minutes' FROM state)
    AND o.slot < (SELECT hours_until FROM state)
    AND o.slot >= (SELECT raw_since FROM state)
ON CONFLICT DO NOTHING RETURNING hour
