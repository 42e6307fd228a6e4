-- Types and functions that every later migration uses.

CREATE TYPE user_role AS ENUM ('student', 'mentor', 'admin');
CREATE TYPE user_status AS ENUM ('active', 'suspended');

-- Whether content can be seen. Only admins see drafts and archived content.
CREATE TYPE publication AS ENUM ('draft', 'published', 'archived');

-- The state of a lesson, stage or roadmap *for one learner*, never its publication.
CREATE TYPE lesson_status AS ENUM ('locked', 'available', 'in_progress', 'completed');

-- Sets updated_at on every table that has the column and, where the trigger is created as touch_row('version'), raises
-- the version that editors send back as If-Match. It runs for changes made by hand in SQL too, and neither column can be
-- set to anything else.
--
-- What counts as a change is the WHEN condition of each trigger, which Postgres evaluates before it calls the function, so
-- an UPDATE that changes nothing costs no call. Most tables compare whole rows. Two kinds of tables list their columns:
--   * those with columns that the platform keeps by itself, such as likes_count or last_active_at. They are not edits:
--     an ETag that moved with them would refuse every editor, and updated_at is the time of the last edit too;
--   * those with a generated column, which a BEFORE trigger cannot see.
-- A column that is added to such a table must be added to its condition; a test compares the two
-- (core/tests/it/schema/versions.rs).
--
-- Children that are edited as part of their parent, such as the tasks of a lesson, have no version. Whoever changes them
-- raises the parent's: UPDATE lessons SET version = version + 1.
CREATE FUNCTION touch_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    IF TG_ARGV[0] = 'version' THEN
        NEW.version = OLD.version + 1;
    END IF;
    RETURN NEW;
END;
$$;

-- The one rule for percentages: rounded down, so 100 only when everything is done; at least 1 once anything is done;
-- null when there is nothing to do.
CREATE FUNCTION progress_percent(completed integer, total integer) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN total = 0 THEN NULL
        WHEN completed = 0 THEN 0
        ELSE greatest(1, completed * 100 / total)
    END::smallint
$$;

CREATE DOMAIN slug AS text CHECK (VALUE ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(VALUE) BETWEEN 2 AND 80);
CREATE DOMAIN https_url AS text CHECK (VALUE ~ '^https?://[^[:space:]]+$' AND length(VALUE) <= 2000);
