-- Accounts that admins manage and that their owners change, leave and take along.

SET LOCAL lock_timeout = '2s';

-- Text without its case. lower() folds only what the database's locale knows, which is ASCII where that is C.
CREATE FUNCTION fold_case(content text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(lower(content), 'АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ', 'абвгдеёжзийклмнопрстуфхцчшщъыьэюя')
$$;

-- The words of a name or an email address, or of what somebody types to find it. Split at punctuation that is listed,
-- because the locale C takes every letter outside ASCII for punctuation. For the same reason trigrams (pg_trgm) would find
-- no Cyrillic name there.
CREATE FUNCTION person_words(content text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(array_remove(regexp_split_to_array(fold_case(content), '[\s!-/:-@\[-`{-~]+'), ''))
$$;

-- Finds whoever has, for each of the words, one that begins with it. Without words it finds nobody.
CREATE FUNCTION person_query(content text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(string_agg('''' || word || ''':*', ' & '), '')::tsquery
    FROM unnest(tsvector_to_array(person_words(content))) AS w (word)
$$;

-- How a user is found and where lists by name have them. Stored, because lists compare them for thousands of rows. Adding
-- them rewrites the table, which before the first release is small everywhere.
ALTER TABLE users
    ADD COLUMN sort_name text GENERATED ALWAYS AS (fold_case(first_name || coalesce(' ' || last_name, ''))) STORED,
    ADD COLUMN words tsvector
        GENERATED ALWAYS AS (person_words(email || ' ' || first_name || coalesce(' ' || last_name, ''))) STORED;

ALTER TABLE users
    ADD COLUMN suspension_reason text,  -- for admins; null while active, and for suspensions without a reason
    -- When the owner deleted the account. The row stays, without personal data, as the pseudonym of what others see of
    -- the past (the activity log, who wrote an instruction). It cannot be restored, because nothing is left to restore.
    ADD COLUMN erased_at timestamptz,
    ADD CONSTRAINT users_suspension_reason
        CHECK (suspension_reason IS NULL OR (status = 'suspended' AND length(suspension_reason) BETWEEN 1 AND 500)) NOT VALID,
    ADD CONSTRAINT users_erased_is_deleted CHECK (erased_at IS NULL OR deleted_at IS NOT NULL) NOT VALID;

-- Not progress_percent and last_active_at, nor what is generated.
DROP TRIGGER touch_row ON users;
CREATE TRIGGER touch_row BEFORE UPDATE ON users FOR EACH ROW WHEN (
    (OLD.id, OLD.email, OLD.password_hash, OLD.first_name, OLD.last_name, OLD.avatar_url, OLD.role, OLD.status,
     OLD.invite_id, OLD.suspension_reason, OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at, OLD.erased_at)
    IS DISTINCT FROM
    (NEW.id, NEW.email, NEW.password_hash, NEW.first_name, NEW.last_name, NEW.avatar_url, NEW.role, NEW.status,
     NEW.invite_id, NEW.suspension_reason, NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at, NEW.erased_at)
) EXECUTE FUNCTION touch_row('version');

-- Somebody must be able to administer the platform, so the last active admin stays one, whoever changes the row and how:
-- an update, a suspension, a deletion, many of them at once, or SQL typed by hand.
--
-- Two admins who demote each other change different rows, so neither would see what the other does. Both take this lock,
-- after the rows that they change, and the second looks when the first has committed.
CREATE FUNCTION keep_an_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('users: keep an admin', 0));
    PERFORM FROM users WHERE role = 'admin' AND status = 'active' AND deleted_at IS NULL LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the last active admin cannot be demoted, suspended or deleted'
            USING ERRCODE = 'check_violation', TABLE = 'users', CONSTRAINT = 'users_keep_an_admin';
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER keep_an_admin AFTER UPDATE OF role, status, deleted_at ON users FOR EACH ROW WHEN (
    OLD.role = 'admin' AND OLD.status = 'active' AND OLD.deleted_at IS NULL
    AND NOT (NEW.role = 'admin' AND NEW.status = 'active' AND NEW.deleted_at IS NULL)
) EXECUTE FUNCTION keep_an_admin();

-- Admins list users by any of these orders. The columns that they filter by come first, and a list of several roles or
-- states merges the parts, so a page costs the same whatever the filter, at any depth.
CREATE INDEX users_newest_idx ON users (role, status, (deleted_at IS NULL), created_at DESC, id DESC) WHERE erased_at IS NULL;
CREATE INDEX users_name_idx ON users (role, status, (deleted_at IS NULL), sort_name, id) WHERE erased_at IS NULL;
CREATE INDEX users_last_active_idx ON users
    (role, status, (deleted_at IS NULL), coalesce(last_active_at, timestamptz '1970-01-01 00:00+00') DESC, id DESC)
    WHERE erased_at IS NULL;
CREATE INDEX users_words_idx ON users USING gin (words) WHERE erased_at IS NULL;

-- Few. The activities of those users are written without names and addresses.
CREATE INDEX users_erased_idx ON users (id) WHERE erased_at IS NOT NULL;

-- Whether an invite can be used. What was used up stays so, even if it is revoked or expires later.
CREATE FUNCTION invite_state(uses integer, max_uses integer, revoked_at timestamptz, expires_at timestamptz, moment timestamptz)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN uses >= max_uses THEN 'used_up'
        WHEN revoked_at IS NOT NULL THEN 'revoked'
        WHEN expires_at <= moment THEN 'expired'
        ELSE 'active'
    END
$$;
CREATE INDEX invite_links_newest_idx ON invite_links (created_at DESC, id DESC) WHERE deleted_at IS NULL;

-- The one-time link with which somebody sets a new password. A user has one at most: the next replaces it. Only the SHA-256
-- of its token is stored. Using it deletes the row, so of several who use it at once one succeeds.
CREATE TABLE password_resets (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    created_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CONSTRAINT password_resets_token_key UNIQUE (token_hash)
);
CREATE INDEX password_resets_created_by_idx ON password_resets (created_by);

-- Users who deleted their account and whose data is still to be erased. A request that was under way when they did may
-- write once more, so the row stays until no such request can be left.
CREATE TABLE erasures (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    requested_at timestamptz NOT NULL DEFAULT now(),
    queued_at timestamptz           -- a further job has been enqueued
);
