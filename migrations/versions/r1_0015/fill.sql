-- Proof that slid past the opening proves nothing about the beginning: NULL then.
UPDATE incidents AS i
SET first_seen_at = seen.at
FROM (
    SELECT n.number, min(o.started_at) AS at
    FROM incidents AS n
    JOIN observations AS o
        ON o.id = ANY (n.observations)
        AND o.slot BETWEEN n.opened_at - interval '2 days' AND coalesce(n.resolved_at, now())
    GROUP BY n.number
) AS seen
WHERE seen.number = i.number AND seen.at <= i.opened_at;

UPDATE incidents SET since = coalesce(reopened_at, first_seen_at) WHERE resolved_at IS NULL;

-- What its own first message said; parts were reported in messages of another.
UPDATE incidents AS i
SET opening_because = first.sentence
FROM (
    SELECT DISTINCT ON (incident) incident, notice ->> 'rule' AS rule, notice ->> 'sentence' AS sentence
    FROM outbox
    WHERE status = 'FIRING'
    ORDER BY incident, sequence
) AS first
WHERE first.incident = i.number AND first.rule = i.rule;

-- The first message of an incident of its own was a new one, and audible in every channel.
UPDATE incidents AS i
SET told_at = greatest(first.at, i.opened_at)
FROM (SELECT incident, min(settled_at) AS at FROM outbox WHERE result = 'sent' GROUP BY incident) AS first
WHERE first.incident = i.number AND i.part_of IS NULL;

UPDATE incidents SET announced_as = part_of WHERE part_of IS NOT NULL;

UPDATE outbox AS o
SET incidents = o.incident || ARRAY(SELECT i.number FROM incidents AS i WHERE i.part_of = o.incident AND i.resolved_at IS NULL)
WHERE o.settled_at IS NULL AND o.incident IS NOT NULL;
