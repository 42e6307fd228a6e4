-- Content that admins edit over HTTP while learners act.

-- A lesson whose rule is `tasks` is completed by whoever has checked all of its required tasks. Checking the last one does
-- that; but when a required task is removed, or becomes optional, or the rule becomes `tasks`, there may be learners who have
-- nothing left to check. A marker says so, and a job completes the lesson for them (core/src/learning/task_changes.rs). The
-- marker is removed by the pass that has seen its seq.
CREATE TABLE lesson_tasks_dirty (
    lesson_id uuid PRIMARY KEY REFERENCES lessons ON DELETE CASCADE,
    seq bigint NOT NULL DEFAULT 1,
    marked_at timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz           -- a job has been enqueued for this marker
);

-- The lesson is locked before the marker is written, and by learners before they look at its tasks (below). So whoever checked
-- a task by the old rules has committed when the edit does, and the job, which runs later, sees what they checked.
CREATE FUNCTION mark_lesson_tasks(lesson_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_lessons(lesson_ids, false);
    INSERT INTO lesson_tasks_dirty AS d (lesson_id)
    SELECT l.id FROM lessons l WHERE l.id = ANY (lesson_ids)  -- a lesson that is destroyed takes its tasks along
    ORDER BY l.id
    ON CONFLICT (lesson_id) DO UPDATE SET seq = d.seq + 1;
END;
$$;

CREATE FUNCTION mark_released_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        lesson_ids = array(
            SELECT DISTINCT o.lesson_id FROM old_rows o JOIN new_rows n USING (id)
            WHERE o.is_required AND o.deleted_at IS NULL
              AND NOT (n.is_required AND n.deleted_at IS NULL AND n.lesson_id = o.lesson_id));
    ELSE
        lesson_ids = array(SELECT DISTINCT lesson_id FROM old_rows WHERE is_required AND deleted_at IS NULL);
    END IF;
    IF cardinality(lesson_ids) > 0 THEN
        PERFORM mark_lesson_tasks(lesson_ids);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_released_update AFTER UPDATE ON lesson_tasks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_released_tasks();
CREATE TRIGGER mark_released_delete AFTER DELETE ON lesson_tasks
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_released_tasks();

CREATE FUNCTION mark_rule_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lesson_ids uuid[] := array(
        SELECT n.id FROM new_rows n JOIN old_rows o USING (id) WHERE n.completion = 'tasks' AND o.completion <> 'tasks');
BEGIN
    IF cardinality(lesson_ids) > 0 THEN
        PERFORM mark_lesson_tasks(lesson_ids);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_rule_changed AFTER UPDATE ON lessons
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_rule_changed();

-- Learners share the lock of the lesson from the moment they check or uncheck a task until they have committed what follows
-- from it.
CREATE FUNCTION lock_checked_lessons() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_lessons(array(SELECT t.lesson_id FROM changed_rows c JOIN lesson_tasks t ON t.id = c.task_id), true);
    RETURN NULL;
END;
$$;
CREATE TRIGGER lock_lessons_insert AFTER INSERT ON user_lesson_task_progress
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION lock_checked_lessons();
CREATE TRIGGER lock_lessons_delete AFTER DELETE ON user_lesson_task_progress
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION lock_checked_lessons();

-- Imports of courses that were asked for over HTTP. The job that runs one stores its result in the transaction of the import
-- itself, so it is imported once however often the job runs.
CREATE TYPE course_import_state AS ENUM ('queued', 'running', 'completed', 'failed');
CREATE TABLE course_imports (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    requested_by uuid REFERENCES users ON DELETE SET NULL,
    is_dry_run boolean NOT NULL,
    document text CHECK (length(document) <= 10000000),     -- removed when the import has ended
    state course_import_state NOT NULL DEFAULT 'queued',
    objects_done integer NOT NULL DEFAULT 0,
    objects_total integer NOT NULL,
    created_count integer,
    updated_count integer,
    unchanged_count integer,
    deleted_count integer,
    error text CHECK (length(error) <= 2000),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT course_imports_progress CHECK (0 <= objects_done AND objects_done <= objects_total),
    CONSTRAINT course_imports_finished CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed'))),
    CONSTRAINT course_imports_document CHECK ((document IS NULL) = (state IN ('completed', 'failed'))),
    CONSTRAINT course_imports_result CHECK (
        (state = 'completed')
        = (num_nonnulls(created_count, updated_count, unchanged_count, deleted_count) = 4)),
    CONSTRAINT course_imports_error CHECK ((state = 'failed') = (error IS NOT NULL))
);
CREATE INDEX course_imports_open_idx ON course_imports (created_at) WHERE state IN ('queued', 'running');
CREATE INDEX course_imports_created_at_idx ON course_imports (created_at, id);
CREATE INDEX course_imports_requested_by_idx ON course_imports (requested_by);
CREATE TRIGGER touch_row BEFORE UPDATE ON course_imports FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();
