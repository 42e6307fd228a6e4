-- Types and functions that every later migration uses.

CREATE TYPE user_role AS ENUM ('student', 'mentor', 'admin');
CREATE TYPE user_status AS ENUM ('active', 'suspended');

-- Whether content can be seen. Draft and archived content exists for admins only.
CREATE TYPE publication AS ENUM ('draft', 'published', 'archived');

-- The state of a lesson, stage or roadmap *for one learner*, never its publication.
CREATE TYPE lesson_status AS ENUM ('locked', 'available', 'in_progress', 'completed');

-- Keeps updated_at. Attached to every table that has the column, so that changes made by hand in SQL count too.
-- A statement that changes nothing moves nothing. A generated column must be named to the trigger: it is computed only
-- after it, and is null in NEW until then.
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_NARGS > 0 THEN
        OLD = jsonb_populate_record(OLD, jsonb_build_object(TG_ARGV[0], NULL));
    END IF;
    IF NEW IS DISTINCT FROM OLD THEN
        NEW.updated_at = now();
    END IF;
    RETURN NEW;
END;
$$;

-- The percent rule, in one place: floor, so 100 only when all is done; at least 1 once anything is done;
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
