SELECT target, day::timestamp AT TIME ZONE :zone AS at, model, identity, heard AS answers
FROM report.models_daily
WHERE day >= :first_day AND day <= :last_day
ORDER BY day, model NULLS LAST
