-- The API keeps what roadmaps show to everybody in memory. Whether that is still right is part of the statement that reads
-- a learner's progress: it is if every transaction that changed content was visible to the snapshot in which the content was
-- read. So each of those transactions leaves its id here. Nobody waits for anybody, an id appears together with the
-- changes, and it does not matter in which order transactions commit. Housekeeping removes the rows after a day.
CREATE TABLE catalog_changes (
    xact xid8 CONSTRAINT catalog_changes_pkey PRIMARY KEY DEFAULT pg_current_xact_id(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX catalog_changes_changed_at_idx ON catalog_changes (changed_at);

CREATE FUNCTION note_catalog_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO catalog_changes DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;
CREATE TRIGGER note_catalog_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON course_modules
    FOR EACH STATEMENT EXECUTE FUNCTION note_catalog_change();
CREATE TRIGGER note_catalog_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON lessons
    FOR EACH STATEMENT EXECUTE FUNCTION note_catalog_change();
CREATE TRIGGER note_catalog_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON roadmaps
    FOR EACH STATEMENT EXECUTE FUNCTION note_catalog_change();
CREATE TRIGGER note_catalog_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON stages
    FOR EACH STATEMENT EXECUTE FUNCTION note_catalog_change();
CREATE TRIGGER note_catalog_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON stage_lessons
    FOR EACH STATEMENT EXECUTE FUNCTION note_catalog_change();

-- Whether no content has changed since that snapshot. Ids that this server has not given out yet come from a dump of
-- another one and say nothing.
CREATE FUNCTION is_catalog_unchanged(since pg_snapshot) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
        SELECT FROM catalog_changes
        WHERE xact >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(xact, since)
          AND xact < pg_snapshot_xmax(pg_current_snapshot()))
$$;

-- A learner's numbers in a roadmap: the stored ones if they belong to the current content, else counted from the facts.
CREATE FUNCTION roadmap_numbers(learner uuid, roadmap uuid) RETURNS TABLE (
    status lesson_status, percent smallint, lessons_total integer, lessons_completed integer, stages_total integer,
    stages_completed integer, completed_at timestamptz, achieved_at timestamptz, seq bigint, is_current boolean,
    is_recalculating boolean, is_stored boolean, is_started boolean
) LANGUAGE sql STABLE AS $$
    SELECT n.status, progress_percent(n.lessons_completed, n.lessons_total), n.lessons_total, n.lessons_completed,
        n.stages_total, n.stages_completed,
        CASE WHEN n.status = 'completed' THEN coalesce(p.completed_at, n.completed_at) END,
        coalesce(p.achieved_at, n.completed_at),
        coalesce(CASE WHEN n.is_stored THEN d.done_seq ELSE d.requested_seq END, 0),
        NOT n.is_stored OR d.done_seq = d.requested_seq,
        coalesce(d.done_version < r.content_version, false),
        n.is_stored,
        d.user_id IS NOT NULL AND n.status IN ('in_progress', 'completed')
    FROM roadmaps r
    LEFT JOIN user_roadmap_progress p ON p.user_id = learner AND p.roadmap_id = r.id
    LEFT JOIN progress_dirty d ON d.user_id = learner AND d.roadmap_id = r.id
    CROSS JOIN LATERAL (
        SELECT true AS is_stored, p.status, p.lessons_total, p.lessons_completed, p.stages_total, p.stages_completed,
            p.completed_at
        WHERE p.user_id IS NOT NULL AND d.done_version = r.content_version
        UNION ALL
        SELECT false, c.status, c.lessons_total, c.lessons_completed, c.stages_total, c.stages_completed, c.completed_at
        FROM count_roadmap(learner, r.id) c
        WHERE (p.user_id IS NOT NULL AND d.done_version = r.content_version) IS NOT TRUE
    ) n
    WHERE r.id = roadmap
$$;
