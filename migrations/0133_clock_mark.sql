-- The latest time that the clock of the database is known to have shown. If the clock is behind it, it was set back, and by how
-- much is known to a few seconds: what was to happen at a stored time would happen so much later. Whoever enqueues scheduled jobs
-- keeps the mark, and moves those times (core/src/admin/clocks.rs).
CREATE TABLE clock_mark (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seen_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO clock_mark (seen_at) VALUES (clock_timestamp());
