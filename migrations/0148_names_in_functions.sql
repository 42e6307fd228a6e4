-- A restore, logical replication and, since Postgres 17, maintenance run without a search path, and the functions of triggers,
-- generated columns and indexes did not find their tables then: a dump could not be restored. SQL functions are given bodies
-- whose names are resolved now, so they can still be inlined; functions in PL/pgSQL, whose names are resolved when they run, get
-- the search path that they were written for.

DO $$
DECLARE
    f record;
    definition text;
BEGIN
    FOR f IN
        SELECT p.oid, l.lanname AS language, p.prosrc AS body
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        WHERE p.pronamespace = 'public'::regnamespace AND p.prosqlbody IS NULL AND l.lanname IN ('sql', 'plpgsql')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        IF f.language = 'plpgsql' THEN
            EXECUTE format('ALTER FUNCTION %s SET search_path = public, pg_temp', f.oid::regprocedure);
        ELSE
            definition := pg_get_functiondef(f.oid);
            EXECUTE left(definition, strpos(definition, 'AS $function$') - 1)
                || 'BEGIN ATOMIC ' || rtrim(f.body, E' \n;') || '; END';
        END IF;
    END LOOP;
END;
$$;

-- The bounds of partitions are written as texts and read again, which must not depend on the session that makes them.
ALTER FUNCTION create_activity_partitions(timestamptz, integer) SET TimeZone = 'UTC';
ALTER FUNCTION drop_activity_partitions(timestamptz, integer) SET TimeZone = 'UTC';
ALTER FUNCTION create_activity_partitions(timestamptz, integer) SET DateStyle = 'ISO, YMD';
ALTER FUNCTION drop_activity_partitions(timestamptz, integer) SET DateStyle = 'ISO, YMD';
