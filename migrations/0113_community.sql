-- Projects get a category, a place in the moderation queue and a rank by recent likes; mentors get lists of students.
SET LOCAL lock_timeout = '2s';

-- What a project is. The categories of styles and prompts say how something looks or what a prompt is for, not what was
-- made, so projects have their own.
CREATE TYPE project_category AS ENUM ('website', 'web_app', 'mobile_app', 'bot', 'game', 'tool', 'design', 'other');

ALTER TABLE showcase_projects
    ADD COLUMN category project_category NOT NULL DEFAULT 'other',
    ADD COLUMN submitted_at timestamptz,                    -- when it last began to wait for a mentor
    ADD COLUMN trending_likes integer NOT NULL DEFAULT 0,   -- derived: the likes since trending_since
    ADD COLUMN trending_since timestamptz,                  -- seven days before they were counted; null = not yet
    ADD CONSTRAINT showcase_projects_trending_likes_range CHECK (trending_likes >= 0) NOT VALID;

-- Not likes_count, likes_counted_at, trending_likes and trending_since.
DROP TRIGGER touch_row ON showcase_projects;
CREATE TRIGGER touch_row BEFORE UPDATE ON showcase_projects FOR EACH ROW WHEN (
    (OLD.id, OLD.user_id, OLD.title, OLD.summary, OLD.description, OLD.project_url, OLD.repository_url, OLD.cover_url,
     OLD.status, OLD.moderation_reason, OLD.published_at, OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at,
     OLD.category, OLD.submitted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.user_id, NEW.title, NEW.summary, NEW.description, NEW.project_url, NEW.repository_url, NEW.cover_url,
     NEW.status, NEW.moderation_reason, NEW.published_at, NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at,
     NEW.category, NEW.submitted_at)
) EXECUTE FUNCTION touch_row('version');

-- Nothing is released yet, so the tables are small and their indexes are created here rather than concurrently.

-- Published projects in each order that readers choose, of one category and of all.
CREATE INDEX showcase_projects_trending_idx ON showcase_projects (trending_likes DESC, id DESC)
    WHERE deleted_at IS NULL AND status = 'published';
CREATE INDEX showcase_projects_category_newest_idx ON showcase_projects (category, published_at DESC, id DESC)
    WHERE deleted_at IS NULL AND status = 'published';
CREATE INDEX showcase_projects_category_popular_idx ON showcase_projects (category, likes_count DESC, id DESC)
    WHERE deleted_at IS NULL AND status = 'published';
CREATE INDEX showcase_projects_category_trending_idx ON showcase_projects (category, trending_likes DESC, id DESC)
    WHERE deleted_at IS NULL AND status = 'published';
-- The moderation queue. A project that was submitted before this column existed waits since it was created.
CREATE INDEX showcase_projects_queue_idx ON showcase_projects (coalesce(submitted_at, created_at), id)
    WHERE deleted_at IS NULL AND status = 'submitted';
-- The admins' lists, of live or of deleted projects.
CREATE INDEX showcase_projects_created_idx ON showcase_projects ((deleted_at IS NOT NULL), created_at DESC, id DESC);
CREATE INDEX showcase_projects_status_idx
    ON showcase_projects ((deleted_at IS NOT NULL), status, created_at DESC, id DESC);

-- The recent likes of one project are counted without reading all of them.
CREATE INDEX project_likes_recent_idx ON project_likes (project_id, created_at);

-- The trending rank of the likes that exist is counted as if they had just been given.
INSERT INTO likes_dirty (project_id)
SELECT DISTINCT project_id FROM project_likes WHERE created_at >= now() - interval '7 days' ORDER BY project_id
ON CONFLICT DO NOTHING;

-- Likes leave the rank when they are seven days old, without anybody doing anything: a scheduled job counts them out.
INSERT INTO schedules (name) VALUES ('refresh_trending');

-- Lower case for comparing names, whatever the locale of the database: under the locale C, lower() leaves Cyrillic alone.
CREATE FUNCTION fold_name(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(lower(name), 'АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ', 'абвгдеёжзийклмнопрстуфхцчшщъыьэюя')
$$;

-- The mentors' lists of students: by their last activity, and by name, beginning with the first or the last name.
CREATE INDEX users_students_activity_idx ON users (coalesce(last_active_at, created_at) DESC, id DESC)
    WHERE role = 'student' AND deleted_at IS NULL;
CREATE INDEX users_students_name_idx
    ON users ((fold_name(first_name || ' ' || coalesce(last_name, '')) COLLATE "C"), id)
    WHERE role = 'student' AND deleted_at IS NULL;
CREATE INDEX users_students_last_name_idx
    ON users ((fold_name(coalesce(last_name, '') || ' ' || first_name) COLLATE "C"), id)
    WHERE role = 'student' AND deleted_at IS NULL;
-- The learners of a stage or roadmap, a few thousand of them at a time. These replace indexes without the user, which could
-- not be read in an order, so that a filter by a rare stage could read the whole table.
DROP INDEX user_stage_progress_stage_id_idx, user_roadmap_progress_roadmap_id_idx;
CREATE INDEX user_stage_progress_stage_id_idx ON user_stage_progress (stage_id, user_id);
CREATE INDEX user_roadmap_progress_roadmap_id_idx ON user_roadmap_progress (roadmap_id, user_id);
