-- Projects that learners show, and likes.

CREATE TYPE project_status AS ENUM ('draft', 'submitted', 'published', 'rejected');

CREATE TABLE showcase_projects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    summary text NOT NULL DEFAULT '' CHECK (length(summary) <= 1000),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 20000),
    project_url https_url,
    repository_url https_url,
    cover_url https_url,
    status project_status NOT NULL DEFAULT 'draft',
    moderation_reason text CHECK (length(moderation_reason) <= 2000),
    published_at timestamptz,
    likes_count integer NOT NULL DEFAULT 0 CHECK (likes_count >= 0),   -- derived from project_likes
    likes_counted_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    CONSTRAINT showcase_projects_published_at CHECK (status <> 'published' OR published_at IS NOT NULL)
) WITH (fillfactor = 85);
CREATE INDEX showcase_projects_newest_idx ON showcase_projects (published_at DESC, id DESC) WHERE deleted_at IS NULL AND status = 'published';
CREATE INDEX showcase_projects_popular_idx ON showcase_projects (likes_count DESC, id DESC) WHERE deleted_at IS NULL AND status = 'published';
CREATE INDEX showcase_projects_user_id_idx ON showcase_projects (user_id, created_at DESC, id DESC);
-- Not likes_count and likes_counted_at.
CREATE TRIGGER touch_row BEFORE UPDATE ON showcase_projects FOR EACH ROW WHEN (
    (OLD.id, OLD.user_id, OLD.title, OLD.summary, OLD.description, OLD.project_url, OLD.repository_url, OLD.cover_url,
     OLD.status, OLD.moderation_reason, OLD.published_at, OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.user_id, NEW.title, NEW.summary, NEW.description, NEW.project_url, NEW.repository_url, NEW.cover_url,
     NEW.status, NEW.moderation_reason, NEW.published_at, NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

CREATE TABLE project_likes (
    project_id uuid NOT NULL REFERENCES showcase_projects ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT project_likes_pkey PRIMARY KEY (project_id, user_id)
);
CREATE INDEX project_likes_user_id_idx ON project_likes (user_id);

-- The projects whose likes_count may be stale. A like updates neither the project's row nor the marker: it inserts the
-- marker if there is none, under a shared advisory lock on the project that is held until commit. The recount takes that
-- lock exclusively, then deletes the marker and counts. So every like whose marker it deleted is committed and counted,
-- likes of one project do not wait for each other, and they cannot starve a waiting recount.
CREATE TABLE likes_dirty (
    project_id uuid PRIMARY KEY REFERENCES showcase_projects ON DELETE CASCADE,
    marked_at timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz           -- a job has been enqueued for this marker
);

CREATE FUNCTION likes_lock_key(project_id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('likes:' || project_id::text, 0)
$$;

CREATE FUNCTION mark_likes_dirty() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    project uuid;
BEGIN
    FOR project IN
        SELECT DISTINCT c.project_id FROM changed_rows c
        WHERE EXISTS (SELECT FROM showcase_projects p WHERE p.id = c.project_id)  -- deleted with its likes: no marker
        ORDER BY 1                                                                -- one lock order for all writers
    LOOP
        PERFORM pg_advisory_xact_lock_shared(likes_lock_key(project));
        INSERT INTO likes_dirty (project_id) VALUES (project) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN NULL;
END;
$$;
CREATE TRIGGER mark_dirty_insert AFTER INSERT ON project_likes REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_likes_dirty();
CREATE TRIGGER mark_dirty_delete AFTER DELETE ON project_likes REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_likes_dirty();
-- Moving a like (merging accounts or projects by hand) changes two counts.
CREATE TRIGGER mark_dirty_update_new AFTER UPDATE ON project_likes REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_likes_dirty();
CREATE TRIGGER mark_dirty_update_old AFTER UPDATE ON project_likes REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_likes_dirty();
