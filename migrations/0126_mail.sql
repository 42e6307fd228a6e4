-- Links that are sent by mail: to prove that an address is one's own, and to set a new password.

SET LOCAL lock_timeout = '2s';

-- When the user proved that the address is theirs; null if they have not. It is not an edit, so it does not raise the version.
ALTER TABLE users ADD COLUMN email_verified_at timestamptz;

-- Another address has to be proved anew, whoever changes it and how.
CREATE FUNCTION forget_verification() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email_verified_at := NULL;
    RETURN NEW;
END;
$$;
CREATE TRIGGER forget_verification BEFORE UPDATE OF email ON users FOR EACH ROW
    WHEN (NEW.email_key <> OLD.email_key) EXECUTE FUNCTION forget_verification();

-- The one-time link with which somebody proves that an address is theirs. A user has one at most: the next replaces it. Only the
-- SHA-256 of its token is stored. Using it deletes the row.
CREATE TABLE email_verifications (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    email text NOT NULL CHECK (length(email) <= 254),  -- what it proves; of no use when the account has another by then
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    delivered_at timestamptz,           -- when the hook took the mail
    CONSTRAINT email_verifications_token_key UNIQUE (token_hash)
);

-- When the hook took the mail with the link; null if it did not, or if an admin created the link and passes it on.
ALTER TABLE password_resets ADD COLUMN delivered_at timestamptz;
