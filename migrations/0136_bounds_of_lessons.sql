-- A lesson may take up to 500 hours. Most lessons of a public curriculum take more than the ten hours that were allowed, because
-- a lesson there is a unit of several weeks. The next migration validates the constraint.
SET LOCAL lock_timeout = '2s';
ALTER TABLE lessons DROP CONSTRAINT lessons_duration_minutes_check;
ALTER TABLE lessons ADD CONSTRAINT lessons_duration_minutes_check CHECK (duration_minutes BETWEEN 1 AND 30000) NOT VALID;
