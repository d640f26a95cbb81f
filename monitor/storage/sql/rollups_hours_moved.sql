SELECT EXISTS (
    SELECT FROM report_state AS s, generate_series(
        greatest(s.raw_since, now() - interval '1 year'), now(), interval '12 hours'
    ) AS g (at)
    WHERE report.hour_of(g.at, :old) <> report.hour_of(g.at, :new)
)
