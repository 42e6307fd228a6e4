-- What there is to learn. A lesson belongs to one module; roadmaps put lessons into an order.

CREATE TYPE completion_rule AS ENUM ('manual', 'tasks');
CREATE TYPE material_kind AS ENUM ('link', 'video', 'file', 'document');

CREATE TABLE course_modules (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    summary text NOT NULL DEFAULT '' CHECK (length(summary) <= 1000),
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX course_modules_slug_key ON course_modules (slug) WHERE deleted_at IS NULL;
CREATE TRIGGER touch_row BEFORE UPDATE ON course_modules FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row('version');

CREATE TABLE lessons (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    module_id uuid NOT NULL REFERENCES course_modules,
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    summary text NOT NULL DEFAULT '' CHECK (length(summary) <= 1000),
    body text NOT NULL DEFAULT '' CHECK (length(body) <= 100000),          -- Markdown
    video_url https_url,
    duration_minutes integer NOT NULL CHECK (duration_minutes BETWEEN 1 AND 600),
    completion completion_rule NOT NULL DEFAULT 'manual',
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    -- The russian configuration stems ASCII words as English, so one column serves both languages.
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('russian', title), 'A')
        || setweight(to_tsvector('russian', summary), 'B')
        || setweight(to_tsvector('russian', body), 'C')
    ) STORED
);
CREATE UNIQUE INDEX lessons_slug_key ON lessons (slug) WHERE deleted_at IS NULL;
CREATE INDEX lessons_module_id_idx ON lessons (module_id, position, id);
CREATE INDEX lessons_search_idx ON lessons USING gin (search);
CREATE TRIGGER touch_row BEFORE UPDATE ON lessons FOR EACH ROW WHEN (
    (OLD.id, OLD.module_id, OLD.slug, OLD.title, OLD.summary, OLD.body, OLD.video_url, OLD.duration_minutes,
     OLD.completion, OLD.position, OLD.publication, OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.module_id, NEW.slug, NEW.title, NEW.summary, NEW.body, NEW.video_url, NEW.duration_minutes,
     NEW.completion, NEW.position, NEW.publication, NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

CREATE TABLE lesson_materials (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lesson_id uuid NOT NULL REFERENCES lessons ON DELETE CASCADE,
    kind material_kind NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    url https_url NOT NULL,
    position integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX lesson_materials_lesson_id_idx ON lesson_materials (lesson_id, position, id) WHERE deleted_at IS NULL;
CREATE TRIGGER touch_row BEFORE UPDATE ON lesson_materials FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();

-- The slug keeps a task's id, and with it what learners have checked, through edits of the lesson.
CREATE TABLE lesson_tasks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lesson_id uuid NOT NULL REFERENCES lessons ON DELETE CASCADE,
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 300),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 5000),
    is_required boolean NOT NULL DEFAULT true,
    position integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX lesson_tasks_slug_key ON lesson_tasks (lesson_id, slug) WHERE deleted_at IS NULL;
CREATE TRIGGER touch_row BEFORE UPDATE ON lesson_tasks FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();

CREATE TABLE roadmaps (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    summary text NOT NULL DEFAULT '' CHECK (length(summary) <= 1000),
    is_sequential boolean NOT NULL DEFAULT false,  -- a stage opens when every earlier one that counts is completed
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
    -- Raised by the triggers below whenever the tree changes. While recomputed_version lags behind it, readers are told
    -- that numbers are being recalculated.
    content_version bigint NOT NULL DEFAULT 1,
    recomputed_version bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT roadmaps_recomputed_not_ahead CHECK (recomputed_version <= content_version)
);
CREATE UNIQUE INDEX roadmaps_slug_key ON roadmaps (slug) WHERE deleted_at IS NULL;
-- Not content_version and recomputed_version.
CREATE TRIGGER touch_row BEFORE UPDATE ON roadmaps FOR EACH ROW WHEN (
    (OLD.id, OLD.slug, OLD.title, OLD.summary, OLD.is_sequential, OLD.position, OLD.publication, OLD.version,
     OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.slug, NEW.title, NEW.summary, NEW.is_sequential, NEW.position, NEW.publication, NEW.version,
     NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

CREATE TABLE stages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    roadmap_id uuid NOT NULL REFERENCES roadmaps ON DELETE CASCADE,
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    summary text NOT NULL DEFAULT '' CHECK (length(summary) <= 1000),
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX stages_slug_key ON stages (roadmap_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX stages_roadmap_id_idx ON stages (roadmap_id, position, id);
CREATE TRIGGER touch_row BEFORE UPDATE ON stages FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row('version');

-- A lesson can be in several stages, once in each.
CREATE TABLE stage_lessons (
    stage_id uuid NOT NULL REFERENCES stages ON DELETE CASCADE,
    lesson_id uuid NOT NULL REFERENCES lessons ON DELETE CASCADE,
    position integer NOT NULL DEFAULT 0,
    is_required boolean NOT NULL DEFAULT true,
    CONSTRAINT stage_lessons_pkey PRIMARY KEY (stage_id, lesson_id)
);
CREATE INDEX stage_lessons_lesson_id_idx ON stage_lessons (lesson_id, stage_id);

-- The one definition of what a learner may see. Every list, count and search reads these views.
CREATE VIEW visible_lessons AS
    SELECT l.*
    FROM lessons l
    JOIN course_modules m ON m.id = l.module_id
    WHERE l.deleted_at IS NULL AND l.publication = 'published'
      AND m.deleted_at IS NULL AND m.publication = 'published';

CREATE VIEW visible_roadmaps AS
    SELECT * FROM roadmaps WHERE deleted_at IS NULL AND publication = 'published';

CREATE VIEW visible_stages AS
    SELECT s.*
    FROM stages s
    JOIN visible_roadmaps r ON r.id = s.roadmap_id
    WHERE s.deleted_at IS NULL AND s.publication = 'published';

-- Content changes make rollups stale. Each trigger works on the whole statement and raises the content_version of each
-- roadmap once, in the order of ids, so that two editors cannot deadlock.

-- Changes to the tree are made one at a time, each from its first statement to its commit. Of two at once, such as hiding
-- a lesson and putting the same lesson into a roadmap, neither could see that the other makes it matter to that roadmap.
-- Edits of texts do not wait, nor do learners.
CREATE FUNCTION lock_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('content', 0));
    RETURN NULL;
END;
$$;
CREATE TRIGGER lock_content BEFORE UPDATE OF publication, deleted_at, is_sequential ON roadmaps
    FOR EACH STATEMENT EXECUTE FUNCTION lock_content();
CREATE TRIGGER lock_content BEFORE INSERT OR DELETE OR UPDATE OF roadmap_id, position, publication, deleted_at ON stages
    FOR EACH STATEMENT EXECUTE FUNCTION lock_content();
CREATE TRIGGER lock_content BEFORE INSERT OR DELETE OR UPDATE OF stage_id, lesson_id, is_required ON stage_lessons
    FOR EACH STATEMENT EXECUTE FUNCTION lock_content();
CREATE TRIGGER lock_content BEFORE DELETE OR UPDATE OF module_id, publication, deleted_at ON lessons
    FOR EACH STATEMENT EXECUTE FUNCTION lock_content();
CREATE TRIGGER lock_content BEFORE UPDATE OF publication, deleted_at ON course_modules
    FOR EACH STATEMENT EXECUTE FUNCTION lock_content();

CREATE FUNCTION bump_content_version(roadmap_ids uuid[]) RETURNS void LANGUAGE sql AS $$
    UPDATE roadmaps SET content_version = content_version + 1
    WHERE id IN (SELECT id FROM roadmaps WHERE id = ANY (roadmap_ids) ORDER BY id FOR NO KEY UPDATE);
$$;

CREATE FUNCTION roadmaps_of_lessons(lesson_ids uuid[]) RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(DISTINCT s.roadmap_id), '{}')
    FROM stage_lessons sl JOIN stages s ON s.id = sl.stage_id
    WHERE sl.lesson_id = ANY (lesson_ids);
$$;

CREATE FUNCTION content_changed_roadmaps() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    roadmap_ids uuid[] := array(
        SELECT n.id FROM new_rows n JOIN old_rows o USING (id)
        WHERE (n.publication, n.deleted_at IS NULL, n.is_sequential)
           IS DISTINCT FROM (o.publication, o.deleted_at IS NULL, o.is_sequential));
BEGIN
    -- bump_content_version updates roadmaps and so fires this trigger again, even when it updates no row: stop here then.
    IF cardinality(roadmap_ids) > 0 THEN
        PERFORM bump_content_version(roadmap_ids);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER content_changed AFTER UPDATE ON roadmaps
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_roadmaps();

CREATE FUNCTION content_changed_stages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM bump_content_version(array(
            SELECT unnest(array[n.roadmap_id, o.roadmap_id]) FROM new_rows n JOIN old_rows o USING (id)
            WHERE (n.roadmap_id, n.position, n.publication, n.deleted_at IS NULL)
               IS DISTINCT FROM (o.roadmap_id, o.position, o.publication, o.deleted_at IS NULL)));
    ELSE
        PERFORM bump_content_version(array(SELECT roadmap_id FROM changed_rows));
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER content_changed_insert AFTER INSERT ON stages REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_stages();
CREATE TRIGGER content_changed_delete AFTER DELETE ON stages REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_stages();
CREATE TRIGGER content_changed_update AFTER UPDATE ON stages REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_stages();

CREATE FUNCTION content_changed_stage_lessons() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- The order of lessons inside a stage changes no number; what is required does.
        PERFORM bump_content_version(array(
            SELECT s.roadmap_id FROM stages s WHERE s.id IN (
                SELECT stage_id FROM (
                    (SELECT stage_id, lesson_id, is_required FROM new_rows EXCEPT SELECT stage_id, lesson_id, is_required FROM old_rows)
                    UNION
                    (SELECT stage_id, lesson_id, is_required FROM old_rows EXCEPT SELECT stage_id, lesson_id, is_required FROM new_rows)
                ) changed)));
    ELSE
        PERFORM bump_content_version(array(
            SELECT s.roadmap_id FROM stages s WHERE s.id IN (SELECT stage_id FROM changed_rows)));
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER content_changed_insert AFTER INSERT ON stage_lessons REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_stage_lessons();
CREATE TRIGGER content_changed_delete AFTER DELETE ON stage_lessons REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_stage_lessons();
CREATE TRIGGER content_changed_update AFTER UPDATE ON stage_lessons REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_stage_lessons();

CREATE FUNCTION content_changed_lessons() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bump_content_version(roadmaps_of_lessons(array(
        SELECT n.id FROM new_rows n JOIN old_rows o USING (id)
        WHERE (n.module_id, n.publication, n.deleted_at IS NULL)
           IS DISTINCT FROM (o.module_id, o.publication, o.deleted_at IS NULL))));
    RETURN NULL;
END;
$$;
CREATE TRIGGER content_changed AFTER UPDATE ON lessons
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_lessons();

CREATE FUNCTION content_changed_modules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bump_content_version(roadmaps_of_lessons(array(
        SELECT l.id FROM lessons l WHERE l.module_id IN (
            SELECT n.id FROM new_rows n JOIN old_rows o USING (id)
            WHERE (n.publication, n.deleted_at IS NULL) IS DISTINCT FROM (o.publication, o.deleted_at IS NULL)))));
    RETURN NULL;
END;
$$;
CREATE TRIGGER content_changed AFTER UPDATE ON course_modules
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION content_changed_modules();
