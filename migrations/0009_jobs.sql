-- What we change about the jobs table of apalis-postgres, whose own migrations have run before ours.

-- Its row trigger sends NOTIFY inside the writer's transaction, which takes a global lock at commit and ends group
-- commit: requests with jobs were twice as slow. We ring out of band instead (core/src/jobs/bell.rs).
DROP TRIGGER IF EXISTS notify_workers ON apalis.jobs;

-- Duplicates of the primary key and of idx_apalis_jobs_lock_by.
DROP INDEX IF EXISTS apalis.unique_job_id;
DROP INDEX IF EXISTS apalis.lidx;

-- Rows of one job are updated two or three times and then deleted: leave room, and clean up early.
ALTER TABLE apalis.jobs SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

-- Retention reads finished jobs by age, per state; operators list the dead.
CREATE INDEX IF NOT EXISTS jobs_finished_idx ON apalis.jobs (status, done_at) WHERE status IN ('Done', 'Killed');
-- Who holds what: rescue and hand-back.
CREATE INDEX IF NOT EXISTS jobs_held_idx ON apalis.jobs (lock_by) WHERE status IN ('Queued', 'Running');

-- When each scheduled job was last enqueued. Whoever moves the time enqueues, so any number of workers make one job a tick.
CREATE TABLE schedules (
    name text PRIMARY KEY,
    last_enqueued_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO schedules (name) VALUES ('reconcile'), ('housekeeping');
