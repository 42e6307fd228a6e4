-- Prepares a database for two roles: one that owns the schema and runs the migrations, and one that the programs use, which
-- reads and writes rows and nothing more. Run it in the database of Cairn, as a superuser or a role with CREATEROLE that owns
-- the database, after these settings:
--
--     SET cairn.owner = 'cairn_owner';
--     SET cairn.application = 'cairn_app';
--     SET cairn.owner_password = '…';        -- only to create the role
--     SET cairn.application_password = '…';
--
-- `cairn migrate --roles` does that. It is safe to repeat, and on a database that another role has made until now it hands
-- what it finds to the owner.
DO $$
DECLARE
    owner name := current_setting('cairn.owner');
    application name := current_setting('cairn.application');
    role record;
    statement text;
BEGIN
    -- One session at a time: two changes of one row of the catalog at once would be an error.
    PERFORM pg_advisory_xact_lock(hashtextextended('cairn roles', 0));

    FOR role IN
        SELECT * FROM (VALUES
            (owner, current_setting('cairn.owner_password', true)),
            (application, current_setting('cairn.application_password', true))
        ) AS roles (name, password)
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role.name);
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', role.name, role.password);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- made at the same time for another database of this server
        END;
    END LOOP;
    IF EXISTS (
        SELECT FROM pg_roles
        WHERE rolname IN (owner, application) AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
    ) OR pg_has_role(application, owner, 'MEMBER') THEN
        RAISE EXCEPTION 'the roles % and % have more rights than they may', owner, application
            USING HINT = 'They may be neither superusers nor have CREATEROLE, CREATEDB, REPLICATION or BYPASSRLS, and the application may not be a member of the owner.';
    END IF;
    -- Whoever hands an object to a role must be a member of it. A superuser counts as one.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', owner);
    END IF;

    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), application);
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO %I', current_database(), owner);
    EXECUTE format('ALTER SCHEMA public OWNER TO %I', owner);
    -- Before version 15 of Postgres, everybody may create tables there.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;

    -- Metrics say how old the oldest transaction is and which program has it (`observe_sessions`). Without this right they tell of
    -- our own sessions only.
    IF NOT pg_has_role(owner, 'pg_read_all_stats', 'MEMBER') THEN
        BEGIN
            EXECUTE format('GRANT pg_read_all_stats TO %I', owner);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'the role % may not see the sessions of others, so metrics will tell of our own only', owner;
            WHEN unique_violation OR internal_error THEN
                NULL;  -- granted at the same time for another database of this server
        END;
    END IF;

    -- What was made before there was an owner. A sequence that belongs to a column follows its table, and what belongs to an
    -- extension stays with whoever installed that.
    FOR statement IN
        SELECT format('ALTER %s %s OWNER TO %I', object.kind, object.name, owner)
        FROM (
            SELECT 'SCHEMA' AS kind, quote_ident(nspname) AS name, oid, 'pg_namespace'::regclass AS catalog, nspowner AS owned_by
            FROM pg_namespace WHERE nspname = 'apalis'
            UNION ALL
            SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                   oid::regclass::text, oid, 'pg_class'::regclass, relowner
            FROM pg_class
            WHERE relnamespace IN (to_regnamespace('public'), to_regnamespace('apalis')) AND relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT 'ROUTINE', oid::regprocedure::text, oid, 'pg_proc'::regclass, proowner
            FROM pg_proc WHERE pronamespace IN (to_regnamespace('public'), to_regnamespace('apalis'))
            UNION ALL
            SELECT 'TYPE', oid::regtype::text, oid, 'pg_type'::regclass, typowner
            FROM pg_type
            WHERE typnamespace IN (to_regnamespace('public'), to_regnamespace('apalis')) AND typtype IN ('e', 'd')
        ) AS object
        WHERE object.owned_by <> (SELECT oid FROM pg_roles WHERE rolname = owner)
          AND NOT EXISTS (
              SELECT FROM pg_depend
              WHERE classid = object.catalog AND objid = object.oid
                AND (deptype = 'e' OR (object.kind = 'SEQUENCE' AND deptype IN ('a', 'i')))
          )
    LOOP
        EXECUTE statement;
    END LOOP;
END;
$$;
