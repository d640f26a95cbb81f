SELECT target, page_healthy AS healthy, page_since AS since, page_checked_at AS checked_at,
    page_status AS status, page_unmet AS unmet, page_facts AS facts, contradiction
FROM report.health
WHERE page_checked_at IS NOT NULL
