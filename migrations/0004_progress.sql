-- Facts (what a learner did), the marker of what they made stale, and the rollups that follow from them.

-- One row per (user, lesson) from the moment the learner starts. There is no row for a lesson never touched.
CREATE TABLE user_lesson_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    lesson_id uuid NOT NULL REFERENCES lessons ON DELETE CASCADE,
    status lesson_status NOT NULL DEFAULT 'in_progress',
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_lesson_progress_pkey PRIMARY KEY (user_id, lesson_id),
    -- locked and available are derived, never stored as a fact
    CONSTRAINT user_lesson_progress_status CHECK (status IN ('in_progress', 'completed')),
    CONSTRAINT user_lesson_progress_completed_at CHECK ((status = 'completed') = (completed_at IS NOT NULL))
) WITH (fillfactor = 85);
CREATE INDEX user_lesson_progress_lesson_id_idx ON user_lesson_progress (lesson_id, user_id);
CREATE TRIGGER set_updated_at BEFORE UPDATE ON user_lesson_progress FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE user_lesson_task_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    task_id uuid NOT NULL REFERENCES lesson_tasks ON DELETE CASCADE,
    checked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_lesson_task_progress_pkey PRIMARY KEY (user_id, task_id)
);
CREATE INDEX user_lesson_task_progress_task_id_idx ON user_lesson_task_progress (task_id);

-- The marker: (user, roadmap) is stale while done_seq < requested_seq. Whoever writes a fact holds its row lock until
-- commit; the rollup takes the same lock before it reads the facts. So a rollup that sets done_seq has seen every fact
-- that was counted into requested_seq, whatever the order of jobs, retries and repeats.
CREATE TABLE progress_dirty (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    roadmap_id uuid NOT NULL REFERENCES roadmaps ON DELETE CASCADE,
    requested_seq bigint NOT NULL DEFAULT 0,
    done_seq bigint NOT NULL DEFAULT 0,
    requested_at timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz,          -- a job has been enqueued for this marker and has not run yet
    paid_until timestamptz,         -- each rollup costs its pair some time; who is far ahead rests (core/src/learning/rollup.rs)
    CONSTRAINT progress_dirty_pkey PRIMARY KEY (user_id, roadmap_id),
    CONSTRAINT progress_dirty_done_not_ahead CHECK (done_seq <= requested_seq)
) WITH (fillfactor = 70);
-- Small: only stale markers are in it. The reconciler reads it every few seconds.
CREATE INDEX progress_dirty_stale_idx ON progress_dirty (requested_at) WHERE done_seq < requested_seq;
CREATE INDEX progress_dirty_roadmap_idx ON progress_dirty (roadmap_id, user_id);

-- A lesson can be put into a roadmap while a learner acts on it. Neither transaction sees the other's row, so both lock the
-- lesson until they commit before they look: learners share the lock, whoever places the lesson has it alone. In one
-- order, so that nobody waits in a circle; by slots, so that an import of any size fits into the server's lock table.
CREATE FUNCTION lock_lessons(lesson_ids uuid[], shared boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF shared THEN
        PERFORM pg_advisory_xact_lock_shared(hashtext('lesson'), slot)
        FROM (SELECT DISTINCT hashtext(id::text) & 1023 AS slot FROM unnest(lesson_ids) AS l (id) ORDER BY slot) s;
    ELSE
        PERFORM pg_advisory_xact_lock(hashtext('lesson'), slot)
        FROM (SELECT DISTINCT hashtext(id::text) & 1023 AS slot FROM unnest(lesson_ids) AS l (id) ORDER BY slot) s;
    END IF;
END;
$$;

-- Every write path marks what it made stale: API, import, and SQL typed by hand.
CREATE FUNCTION mark_lessons_dirty(user_ids uuid[], lesson_ids uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO progress_dirty AS d (user_id, roadmap_id, requested_seq)
    SELECT DISTINCT c.user_id, s.roadmap_id, 1
    FROM unnest(user_ids, lesson_ids) AS c (user_id, lesson_id)
    JOIN stage_lessons sl ON sl.lesson_id = c.lesson_id
    JOIN stages s ON s.id = sl.stage_id
    WHERE EXISTS (SELECT FROM users u WHERE u.id = c.user_id)  -- a deleted user's facts cascade away: nothing to mark
    ORDER BY 1, 2                                               -- one lock order for all writers
    ON CONFLICT (user_id, roadmap_id) DO UPDATE
        SET requested_seq = d.requested_seq + 1,
            requested_at = CASE WHEN d.done_seq = d.requested_seq THEN now() ELSE d.requested_at END;
$$;

CREATE FUNCTION mark_progress_dirty() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    user_ids uuid[];
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(user_id), array_agg(lesson_id) INTO user_ids, lesson_ids
        FROM (SELECT user_id, lesson_id FROM new_rows UNION SELECT user_id, lesson_id FROM old_rows) c;
    ELSE
        SELECT array_agg(user_id), array_agg(lesson_id) INTO user_ids, lesson_ids FROM changed_rows;
    END IF;
    -- An upsert fires the triggers of both its halves, one of them with no row.
    IF user_ids IS NOT NULL THEN
        PERFORM lock_lessons(lesson_ids, true);
        PERFORM mark_lessons_dirty(user_ids, lesson_ids);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_dirty_insert AFTER INSERT ON user_lesson_progress REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_progress_dirty();
CREATE TRIGGER mark_dirty_update AFTER UPDATE ON user_lesson_progress REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_progress_dirty();
CREATE TRIGGER mark_dirty_delete AFTER DELETE ON user_lesson_progress REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_progress_dirty();

-- A lesson that is put into a roadmap makes it started, or further, for everybody who knows the lesson already: they get
-- the marker that the recompute of the roadmap walks over.
CREATE FUNCTION mark_placed_lessons(stage_ids uuid[], lesson_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_lessons(lesson_ids, false);
    INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq)
    SELECT DISTINCT f.user_id, s.roadmap_id, 1
    FROM unnest(stage_ids, lesson_ids) AS p (stage_id, lesson_id)
    JOIN stages s ON s.id = p.stage_id
    JOIN user_lesson_progress f ON f.lesson_id = p.lesson_id
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
END;
$$;
CREATE FUNCTION mark_placed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stage_ids uuid[];
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(stage_id), array_agg(lesson_id) INTO stage_ids, lesson_ids
        FROM (SELECT stage_id, lesson_id FROM new_rows EXCEPT SELECT stage_id, lesson_id FROM old_rows) placed;
    ELSE
        SELECT array_agg(stage_id), array_agg(lesson_id) INTO stage_ids, lesson_ids FROM new_rows;
    END IF;
    PERFORM mark_placed_lessons(stage_ids, lesson_ids);
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_placed_insert AFTER INSERT ON stage_lessons REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_placed();
CREATE TRIGGER mark_placed_update AFTER UPDATE ON stage_lessons REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_placed();

-- A stage that moves to another roadmap takes its lessons along, and the rows that its learners have for it.
CREATE FUNCTION mark_moved_stages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved uuid[] := array(SELECT n.id FROM new_rows n JOIN old_rows o USING (id) WHERE n.roadmap_id <> o.roadmap_id);
BEGIN
    IF cardinality(moved) > 0 THEN
        PERFORM mark_placed_lessons(array_agg(stage_id), array_agg(lesson_id)) FROM stage_lessons WHERE stage_id = ANY (moved);
        INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq)
        SELECT DISTINCT p.user_id, s.roadmap_id, 1
        FROM stages s JOIN user_stage_progress p ON p.stage_id = s.id
        WHERE s.id = ANY (moved)
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_moved AFTER UPDATE ON stages REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_moved_stages();

-- A roadmap whose row is deleted takes its markers along. It counted in its learners' overall percent, which any of their
-- other roadmaps computes anew; who has no other has nothing to do.
CREATE FUNCTION mark_remaining_roadmaps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE progress_dirty d
    SET requested_seq = d.requested_seq + 1,
        requested_at = CASE WHEN d.done_seq = d.requested_seq THEN now() ELSE d.requested_at END
    FROM (
        SELECT user_id, roadmap_id FROM progress_dirty WHERE user_id IN (SELECT user_id FROM old_rows)
        ORDER BY 1, 2 FOR UPDATE
    ) r
    WHERE d.user_id = r.user_id AND d.roadmap_id = r.roadmap_id;
    UPDATE users u SET progress_percent = NULL
    WHERE u.id IN (SELECT user_id FROM old_rows) AND u.progress_percent IS NOT NULL
      AND NOT EXISTS (SELECT FROM progress_dirty d WHERE d.user_id = u.id);
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_remaining AFTER DELETE ON progress_dirty REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_remaining_roadmaps();

-- Rollups. Written only by the rollup; percent is generated, so it cannot disagree with its counts.
CREATE TABLE user_stage_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    stage_id uuid NOT NULL REFERENCES stages ON DELETE CASCADE,
    lessons_total integer NOT NULL,
    lessons_completed integer NOT NULL,
    percent smallint GENERATED ALWAYS AS (progress_percent(lessons_completed, lessons_total)) STORED,
    status lesson_status NOT NULL,
    completed_at timestamptz,       -- set while completed
    achieved_at timestamptz,        -- the first time it ever was completed; never cleared
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_stage_progress_pkey PRIMARY KEY (user_id, stage_id),
    CONSTRAINT user_stage_progress_counts CHECK (0 <= lessons_completed AND lessons_completed <= lessons_total),
    CONSTRAINT user_stage_progress_completed CHECK ((status = 'completed') = (lessons_total > 0 AND lessons_completed = lessons_total)),
    CONSTRAINT user_stage_progress_completed_at CHECK ((completed_at IS NOT NULL) = (status = 'completed')),
    CONSTRAINT user_stage_progress_achieved_at CHECK (completed_at IS NULL OR achieved_at IS NOT NULL)
) WITH (fillfactor = 85);
CREATE INDEX user_stage_progress_stage_id_idx ON user_stage_progress (stage_id);
CREATE TRIGGER set_updated_at BEFORE UPDATE ON user_stage_progress FOR EACH ROW EXECUTE FUNCTION set_updated_at('percent');

CREATE TABLE user_roadmap_progress (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    roadmap_id uuid NOT NULL REFERENCES roadmaps ON DELETE CASCADE,
    lessons_total integer NOT NULL,
    lessons_completed integer NOT NULL,
    stages_total integer NOT NULL,
    stages_completed integer NOT NULL,
    percent smallint GENERATED ALWAYS AS (progress_percent(lessons_completed, lessons_total)) STORED,
    status lesson_status NOT NULL,
    seq bigint NOT NULL,                -- the marker sequence that this row has seen
    content_version bigint NOT NULL,    -- the roadmap's version that it was computed from
    completed_at timestamptz,
    achieved_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_roadmap_progress_pkey PRIMARY KEY (user_id, roadmap_id),
    CONSTRAINT user_roadmap_progress_lessons CHECK (0 <= lessons_completed AND lessons_completed <= lessons_total),
    CONSTRAINT user_roadmap_progress_stages CHECK (0 <= stages_completed AND stages_completed <= stages_total),
    CONSTRAINT user_roadmap_progress_status CHECK (status <> 'locked'),
    CONSTRAINT user_roadmap_progress_completed CHECK ((status = 'completed') = (lessons_total > 0 AND lessons_completed = lessons_total)),
    CONSTRAINT user_roadmap_progress_completed_at CHECK ((completed_at IS NOT NULL) = (status = 'completed')),
    CONSTRAINT user_roadmap_progress_achieved_at CHECK (completed_at IS NULL OR achieved_at IS NOT NULL)
) WITH (fillfactor = 70);
CREATE INDEX user_roadmap_progress_roadmap_id_idx ON user_roadmap_progress (roadmap_id);
CREATE TRIGGER set_updated_at BEFORE UPDATE ON user_roadmap_progress FOR EACH ROW EXECUTE FUNCTION set_updated_at('percent');
