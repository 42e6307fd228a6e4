-- People, how they get in, and how they stay signed in.

-- The table may exist already, because the chats of the system that Cairn replaces refer to it: it is adopted with its
-- rows.
CREATE TABLE IF NOT EXISTS users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid()
);
ALTER TABLE users
    ADD COLUMN IF NOT EXISTS email text,
    ADD COLUMN IF NOT EXISTS password_hash text,       -- Argon2id, PHC string; null = cannot sign in until a reset
    ADD COLUMN IF NOT EXISTS first_name text,
    ADD COLUMN IF NOT EXISTS last_name text,
    ADD COLUMN IF NOT EXISTS avatar_url https_url,
    ADD COLUMN IF NOT EXISTS role user_role NOT NULL DEFAULT 'student',
    ADD COLUMN IF NOT EXISTS status user_status NOT NULL DEFAULT 'active',
    ADD COLUMN IF NOT EXISTS invite_id uuid,           -- the invite that this person registered with
    ADD COLUMN IF NOT EXISTS progress_percent smallint, -- derived by the rollup; null = nothing to do yet
    ADD COLUMN IF NOT EXISTS last_active_at timestamptz, -- derived from activity_log, updated at most once a minute
    ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS deleted_at timestamptz;

-- Adopted rows may lack what new rows must have. `.invalid` can never receive mail (RFC 2606).
UPDATE users SET email = id || '@adopted.invalid' WHERE email IS NULL;
UPDATE users SET first_name = 'Learner' WHERE first_name IS NULL OR first_name = '';
ALTER TABLE users
    ALTER COLUMN email SET NOT NULL,
    ALTER COLUMN first_name SET NOT NULL,
    ADD CONSTRAINT users_email_length CHECK (length(email) BETWEEN 3 AND 254),
    ADD CONSTRAINT users_first_name_length CHECK (length(first_name) BETWEEN 1 AND 100),
    ADD CONSTRAINT users_last_name_length CHECK (length(last_name) <= 100),
    ADD CONSTRAINT users_progress_percent_range CHECK (progress_percent BETWEEN 0 AND 100);

-- Unique among live rows only, whatever the case: the address of a deleted person can be used again.
CREATE UNIQUE INDEX users_email_key ON users (lower(email)) WHERE deleted_at IS NULL;
CREATE INDEX users_role_idx ON users (role, created_at, id) WHERE deleted_at IS NULL;

-- Not progress_percent and last_active_at.
CREATE TRIGGER touch_row BEFORE UPDATE ON users FOR EACH ROW WHEN (
    (OLD.id, OLD.email, OLD.password_hash, OLD.first_name, OLD.last_name, OLD.avatar_url, OLD.role, OLD.status,
     OLD.invite_id, OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.email, NEW.password_hash, NEW.first_name, NEW.last_name, NEW.avatar_url, NEW.role, NEW.status,
     NEW.invite_id, NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

CREATE TABLE invite_links (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    code text NOT NULL CHECK (length(code) BETWEEN 16 AND 64),  -- 128 random bits or more
    role user_role NOT NULL DEFAULT 'student',
    note text CHECK (length(note) <= 200),
    max_uses integer NOT NULL DEFAULT 1 CHECK (max_uses BETWEEN 1 AND 100000),
    uses integer NOT NULL DEFAULT 0,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_by uuid REFERENCES users ON DELETE SET NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    -- The last line of defence when several people redeem an invite at once: it is never used more often than allowed.
    CONSTRAINT invite_links_uses_range CHECK (uses BETWEEN 0 AND max_uses)
);
CREATE UNIQUE INDEX invite_links_code_key ON invite_links (code);
-- Not uses.
CREATE TRIGGER touch_row BEFORE UPDATE ON invite_links FOR EACH ROW WHEN (
    (OLD.id, OLD.code, OLD.role, OLD.note, OLD.max_uses, OLD.expires_at, OLD.revoked_at, OLD.created_by, OLD.version,
     OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.code, NEW.role, NEW.note, NEW.max_uses, NEW.expires_at, NEW.revoked_at, NEW.created_by, NEW.version,
     NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

ALTER TABLE users ADD CONSTRAINT users_invite_id_fkey FOREIGN KEY (invite_id) REFERENCES invite_links ON DELETE SET NULL;

-- One row per sign-in. Every access token names its session, so revoking the session ends the token too.
CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    user_agent text CHECK (length(user_agent) <= 400),
    ip inet,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoke_reason text CHECK (revoke_reason IN ('logout', 'token_reuse', 'password_changed', 'revoked', 'suspended')),
    CONSTRAINT sessions_revoked_with_reason CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL))
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id, created_at DESC);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- Refresh tokens rotate: each is used once. Only the SHA-256 of the token is stored.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);
-- Used tokens are removed by age, in chunks.
CREATE INDEX refresh_tokens_used_at_idx ON refresh_tokens (used_at) WHERE used_at IS NOT NULL;

-- The response to a create, kept so that the same key and body get the same response again.
CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    operation text NOT NULL,
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    response jsonb,                 -- null only inside the transaction that claims the key
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, operation, key)
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);
