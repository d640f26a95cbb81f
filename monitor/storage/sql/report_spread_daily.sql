SELECT target, identity,
    report.bucket_ms(ttft_histogram[place][1]) AS ms,
    sum(ttft_histogram[place][2])::integer AS samples
FROM report.models_daily, generate_subscripts(ttft_histogram, 1) AS place
WHERE day >= :first_day AND day <= :last_day
GROUP BY 1, 2, 3
