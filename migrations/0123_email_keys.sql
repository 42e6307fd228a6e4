-- Email addresses are compared by one canonical form, which the program computes (core/src/users/email.rs) and stores beside
-- what was typed. lower() depends on the database's locale and knows no Unicode normalization: the sign-in counted attempts
-- for one account and looked up another, because the program and the database folded an address differently.

SET LOCAL lock_timeout = '2s';

-- Before the first release the table is small everywhere.
ALTER TABLE users ADD COLUMN email_key text;

-- The nearest that SQL has. `cairn verify` names the rows whose key the program would write differently.
UPDATE users SET email_key = lower(email);
ALTER TABLE users
    ALTER COLUMN email_key SET NOT NULL,
    ADD CONSTRAINT users_email_key_length CHECK (length(email_key) BETWEEN 3 AND 254);

-- For rows that the program does not write, such as those of the former release, until it writes them.
CREATE FUNCTION fill_email_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email_key := NEW.email;
    RETURN NEW;
END;
$$;
CREATE TRIGGER fill_email_key BEFORE INSERT ON users FOR EACH ROW WHEN (NEW.email_key IS NULL)
    EXECUTE FUNCTION fill_email_key();

-- Unique among live rows only: the address of a deleted person can be used again.
DROP INDEX users_email_key;
CREATE UNIQUE INDEX users_email_key ON users (email_key) WHERE deleted_at IS NULL;
