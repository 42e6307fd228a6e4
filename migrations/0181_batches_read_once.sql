-- `id IN (SELECT … LIMIT 10000)` is a join, and a planner that believes the table to be empty executes it as a nested loop: it reads
-- the rows of the batch again for each of them. Counting 10,000 uses of a style card took 74 s, longer than a job may take, so once a few
-- thousand uses were waiting, they were never counted. An array is read once, whatever the planner believes.
CREATE OR REPLACE FUNCTION roll_up_uses(kind library_item_kind, item uuid) RETURNS integer LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
DECLARE
    counted integer;
    total bigint;
BEGIN
    IF kind = 'style_card' THEN
        PERFORM FROM style_cards WHERE id = item FOR NO KEY UPDATE;
    ELSE
        PERFORM FROM prompts WHERE id = item FOR NO KEY UPDATE;
    END IF;
    IF NOT FOUND THEN
        -- Used and deleted at the same time: there is nothing left to count for.
        DELETE FROM library_uses WHERE item_kind = kind AND item_id = item;
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM library_uses
        WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM library_uses WHERE item_kind = kind AND item_id = item ORDER BY id LIMIT 10000
        ))
        RETURNING (used_at AT TIME ZONE 'UTC')::date AS day
    ), added AS (
        INSERT INTO library_daily_uses AS d (item_kind, item_id, day, uses)
        SELECT kind, item, day, count(*) FROM taken GROUP BY day
        ON CONFLICT (item_kind, item_id, day) DO UPDATE SET uses = d.uses + excluded.uses
    )
    SELECT count(*) INTO counted FROM taken;
    SELECT coalesce(sum(uses), 0) INTO total FROM library_daily_uses WHERE item_kind = kind AND item_id = item;
    IF kind = 'style_card' THEN
        UPDATE style_cards SET usage_count = total WHERE id = item AND usage_count <> total;
    ELSE
        UPDATE prompts SET copy_count = total WHERE id = item AND copy_count <> total;
    END IF;
    RETURN counted;
END;
$$;

CREATE OR REPLACE FUNCTION refresh_stats() RETURNS boolean LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
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
        DELETE FROM stats_marks WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM stats_marks WHERE user_id IS NOT NULL ORDER BY id LIMIT 1000))
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
