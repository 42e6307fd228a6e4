-- What the application may do: read and write rows, and call functions. Runs at the end of each migration as the owner, and
-- covers what was just made as well as what the owner makes later, such as the next partition of the activity log.
DO $$
DECLARE
    application name := current_setting('cairn.application');
    schema text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('cairn grants', 0));
    -- The functions of an extension belong to whoever installed it, and everybody may call them anyway.
    SET LOCAL client_min_messages = error;
    FOREACH schema IN ARRAY ARRAY['public', 'apalis'] LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema, application);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', schema, application);
        EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', schema, application);
        EXECUTE format('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA %I TO %I', schema, application);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', schema, application);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I', schema, application);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT EXECUTE ON ROUTINES TO %I', schema, application);
        -- It may see which migrations were applied, and not claim that others were.
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I._sqlx_migrations FROM %I', schema, application);
    END LOOP;
END;
$$;
