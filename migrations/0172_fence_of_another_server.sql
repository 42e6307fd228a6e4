-- A quarter of an hour is over when every transaction is over that is older than the fence, which is the id of a transaction. In a
-- database that was restored from a dump or replicated to another server, the fence is an id of the server before, which this one
-- may not reach for weeks, and the statistics of that time were not computed again until then. A fence that this server has not
-- given out yet comes from another one, whose transactions are over.
CREATE OR REPLACE FUNCTION refresh_stats() RETURNS boolean LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    state stats_state;
    present integer;
    last_mark bigint;
    is_over boolean;
    stale integer[];
    learners uuid[];
    has_more boolean := false;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('stats', 0)) THEN
        RETURN false;
    END IF;
    SELECT * INTO state FROM stats_state;
    present := quarter_of(clock_timestamp());
    is_over := state.fence IS NOT NULL AND (
        pg_snapshot_xmin(pg_current_snapshot()) >= state.fence OR pg_snapshot_xmax(pg_current_snapshot()) <= state.fence);
    IF NOT state.is_filled THEN
        has_more := fill_stats(state.filled_to, state.open_from);
    END IF;

    WITH taken AS (
        DELETE FROM stats_marks WHERE id IN (SELECT id FROM stats_marks WHERE user_id IS NOT NULL ORDER BY id LIMIT 1000)
        RETURNING quarter, user_id
    )
    SELECT coalesce(array_agg(quarter), '{}'), coalesce(array_agg(user_id), '{}') INTO stale, learners FROM taken;
    INSERT INTO stats_marks (quarter)
    SELECT m.quarter FROM unnest(stale) AS m (quarter) WHERE m.quarter IS NOT NULL
    UNION
    SELECT (SELECT min(a.quarter) FROM active_quarters a WHERE a.user_id = m.user_id AND a.quarter > m.quarter)
    FROM unnest(stale, learners) AS m (quarter, user_id)
    WHERE EXISTS (SELECT FROM active_quarters a WHERE a.user_id = m.user_id AND a.quarter > m.quarter)
    UNION
    SELECT a.quarter FROM unnest(stale, learners) AS m (quarter, user_id) JOIN active_quarters a ON a.user_id = m.user_id
    WHERE m.quarter IS NULL;

    SELECT max(id) INTO last_mark FROM stats_marks;

    WITH taken AS (DELETE FROM stats_marks WHERE lesson_id IS NOT NULL RETURNING lesson_id)
    UPDATE lesson_stats s SET computed_at = NULL FROM taken t WHERE s.lesson_id = t.lesson_id;

    SELECT coalesce(array_agg(t.quarter), '{}') INTO stale FROM (
        SELECT DISTINCT quarter FROM stats_marks WHERE user_id IS NULL AND lesson_id IS NULL ORDER BY 1 DESC LIMIT 200) t;
    DELETE FROM stats_marks WHERE user_id IS NULL AND lesson_id IS NULL AND quarter = ANY (stale);
    has_more := has_more OR EXISTS (SELECT FROM stats_marks WHERE id <= last_mark);

    stale := stale || ARRAY[present - 1, present];
    IF is_over THEN
        stale := stale || ARRAY(SELECT generate_series(state.open_from, state.fenced - 1));
    END IF;
    PERFORM recompute_stats(stale);
    UPDATE stats_state SET
        open_from = CASE WHEN is_over THEN state.fenced ELSE state.open_from END,
        fenced = CASE WHEN is_over THEN NULL WHEN state.fence IS NULL AND state.open_from < present THEN present ELSE state.fenced END,
        fence = CASE WHEN is_over THEN NULL
                     WHEN state.fence IS NULL AND state.open_from < present THEN pg_current_xact_id()
                     ELSE state.fence END,
        as_of = CASE WHEN has_more THEN as_of ELSE now() END;
    RETURN has_more;
END;
$$;
