-- What a report must know besides the views, for a role that may read nothing else.
CREATE FUNCTION report.zone() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
RETURN (SELECT s.zone FROM report_state AS s);

CREATE FUNCTION report.revision() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
RETURN (SELECT a.version_num::text FROM monitor_alembic_version AS a);

COMMENT ON FUNCTION report.zone IS 'Zone whose days the views count; UTC unless the spend rule names another';
COMMENT ON FUNCTION report.revision IS 'Revision of the schema, as monitor migrate names it';
