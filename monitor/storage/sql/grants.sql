WITH ours AS (
    SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('report', current_schema())
),
named AS (
    SELECT format('%s ON %I.%I', a.privilege_type, n.nspname, c.relname) AS what,
        a.grantee, a.is_grantable, c.relowner AS owner
    FROM pg_class AS c JOIN ours ON ours.oid = c.relnamespace
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(c.relacl) AS a
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relacl IS NOT NULL
    UNION ALL
    SELECT format('%s (%I) ON %I.%I', a.privilege_type, t.attname, n.nspname, c.relname),
        a.grantee, a.is_grantable, c.relowner
    FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid
    JOIN ours ON ours.oid = c.relnamespace
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(t.attacl) AS a
    WHERE t.attacl IS NOT NULL AND NOT t.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm')
    UNION ALL
    SELECT format('%s ON FUNCTION %I.%I(%s)', a.privilege_type, n.nspname, p.proname,
            pg_get_function_identity_arguments(p.oid)),
        a.grantee, a.is_grantable, p.proowner
    FROM pg_proc AS p JOIN ours ON ours.oid = p.pronamespace
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL aclexplode(p.proacl) AS a
    WHERE p.proacl IS NOT NULL
)
SELECT format('GRANT %s TO %s%s', what,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM named WHERE grantee <> owner
