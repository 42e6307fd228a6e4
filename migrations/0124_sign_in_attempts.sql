-- How often a password was guessed wrongly, shared by all processes and kept across restarts.

-- Who or what attempts are counted for: an account, whether it exists or not, an address, or a device. Only a keyed hash of
-- it is stored, so the table says nothing about people who mistype their address. Each row is a bucket that every attempt
-- fills by one and time empties; a success takes its own attempt back.
CREATE TABLE sign_in_attempts (
    subject bytea CONSTRAINT sign_in_attempts_pkey PRIMARY KEY CHECK (length(subject) = 16),
    failures integer NOT NULL CHECK (failures BETWEEN 0 AND 1000), -- at counted_at; one less after each further period
    counted_at timestamptz NOT NULL,
    free_at timestamptz NOT NULL,       -- until then, no password is checked
    forgotten_at timestamptz NOT NULL,  -- from then on, the row means nothing
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_attempts_forgotten_at_idx ON sign_in_attempts (forgotten_at);


-- How many whole periods of `seconds` have passed, in each of which one failure is forgotten.
CREATE FUNCTION attempts_forgotten(counted_at timestamptz, moment timestamptz, seconds double precision)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(1000000000, floor(greatest(0, extract(epoch FROM moment - counted_at)) / seconds))::integer
$$;

-- How long the next attempt has to wait: not at all before `free` failures, then a second, and twice as long for each
-- further one, up to a quarter of an hour.
CREATE FUNCTION attempt_wait(failures integer, free integer)
RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT make_interval(secs => CASE WHEN failures >= free THEN least(900, power(2, least(failures - free, 10))) ELSE 0 END)
$$;

-- Devices on which somebody has signed in. They have counters of their own, so whoever guesses a password cannot lock its
-- owner out. Only the SHA-256 of the device's token is stored. The token is no proof of anything: a device still has to
-- send the right password.
CREATE TABLE sign_in_devices (
    token_hash bytea CONSTRAINT sign_in_devices_pkey PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_in_devices_user_id_idx ON sign_in_devices (user_id, created_at DESC);
CREATE INDEX sign_in_devices_expires_at_idx ON sign_in_devices (expires_at);
