-- The life of a session: one line of refresh tokens, and ends that last.

SET LOCAL lock_timeout = '2s';

-- A refresh token has at most one successor, however many requests present it at once: the index makes it so. The successor
-- is HMAC-SHA-256 of the nonce with the predecessor as its key. So whoever has the predecessor can be given the same successor
-- again, and from what is stored here nobody can derive either.
ALTER TABLE refresh_tokens
    ADD COLUMN predecessor bytea,  -- its hash; the row may be gone
    ADD COLUMN nonce bytea,
    ADD CONSTRAINT refresh_tokens_derivation CHECK (
        num_nonnulls(predecessor, nonce) IN (0, 2) AND length(predecessor) = 32 AND length(nonce) = 32
    ) NOT VALID;
CREATE UNIQUE INDEX refresh_tokens_predecessor_key ON refresh_tokens (predecessor);

-- The previous release knows the first five.
ALTER TABLE sessions
    DROP CONSTRAINT sessions_revoke_reason_check,
    ADD CONSTRAINT sessions_revoke_reason_check CHECK (revoke_reason IN (
        'logout', 'token_reuse', 'password_changed', 'revoked', 'suspended', 'deleted', 'role_changed', 'session_limit'
    )) NOT VALID;

-- The open sessions of a user, to end the one that has been idle for longest when there are too many.
CREATE INDEX sessions_open_idx ON sessions (user_id, last_used_at DESC, id DESC) WHERE revoked_at IS NULL;

-- Whoever is suspended, deleted or given another role signs in anew, whoever changes the row and how. It is not enough to look
-- at the account when a token is used, because then the tokens would be valid again once the account is.
CREATE FUNCTION end_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions SET revoked_at = now(), revoke_reason = CASE
        WHEN NEW.deleted_at IS NOT NULL THEN 'deleted'
        WHEN NEW.status <> 'active' THEN 'suspended'
        ELSE 'role_changed'
    END
    WHERE user_id = NEW.id AND revoked_at IS NULL;
    RETURN NULL;
END;
$$;
CREATE TRIGGER end_sessions AFTER UPDATE OF role, status, deleted_at ON users FOR EACH ROW WHEN (
    NEW.role <> OLD.role
    OR (NEW.status <> 'active' AND OLD.status = 'active')
    OR (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)
) EXECUTE FUNCTION end_sessions();
