-- What the metrics tell of the whole database. Other roles' sessions are hidden from the application, although they are the ones that
-- hold old transactions most often: somebody's psql, a dump. This function shows the little that a metric may say of them, with
-- the rights of the owner, who may see sessions if the administrator lets it (`cairn migrate --roles` does). It returns neither
-- statements nor addresses.
CREATE FUNCTION observe_sessions(
    OUT oldest_seconds float8, OUT application text, OUT state text, OUT replica_lag_seconds float8
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.seconds, o.application_name, o.state,
        (SELECT max(greatest(extract(epoch FROM r.replay_lag), 0)) FROM pg_stat_replication r)::float8
    FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (
        SELECT greatest(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8 AS seconds, a.application_name, a.state
        FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
            AND a.xact_start IS NOT NULL
        ORDER BY a.xact_start LIMIT 1
    ) o ON true
$$;
REVOKE EXECUTE ON FUNCTION observe_sessions() FROM PUBLIC;
