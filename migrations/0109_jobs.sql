-- The jobs table of apalis-postgres, whose own migrations have run before ours, as we change it, and what operators see of
-- the queues and do to them.

-- Its row trigger sends NOTIFY inside the writer's transaction, which takes a global lock at commit and so prevents group
-- commit: requests with jobs were twice as slow. Workers are notified after the commit instead, on another connection.
DROP TRIGGER IF EXISTS notify_workers ON apalis.jobs;

-- The rows of a job are updated two or three times and then deleted: leave room, and vacuum early.
ALTER TABLE apalis.jobs SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

-- The kind of a job, from the beginning that every payload of ours has; '' for a payload that begins otherwise (it may be
-- anything, even no text). Queries distinguish kinds by it without decoding payloads.
CREATE FUNCTION job_kind(job bytea) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(substring(encode(substr(job, 1, 60), 'escape') FROM '^\{"kind":"([a-z0-9_-]+)"'), '')
$$;

-- Indexes of the jobs table. A job is written three times (enqueued, taken, ended), and because its status is part of
-- every partial index, each time makes an entry in every index that takes the row: an index over all rows costs three
-- entries per job, a partial one a single entry. So no index covers all rows but the primary key, and every state has
-- exactly one index that answers for it:
--   waiting     idx_apalis_jobs_fetch_partial (job_type, priority DESC, run_at), apalis' own: claim, overview, lists
--   held        jobs_held_idx: rescue, workers and what they hold
--   done, dead  jobs_done_idx, jobs_dead_idx: retention, and lists of a queue by the time they ended

-- Duplicates of the primary key and of idx_apalis_jobs_lock_by.
DROP INDEX IF EXISTS apalis.unique_job_id;
DROP INDEX IF EXISTS apalis.lidx;

-- Unique for ever, and always null here: the same guarantee without an entry for every job.
DROP INDEX apalis.idx_jobs_idempotency_key;
CREATE UNIQUE INDEX idx_jobs_idempotency_key ON apalis.jobs (job_type, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The foreign key to apalis.workers looks up lock_by alone; the rescue must find a job that runs and is held by nobody.
DROP INDEX apalis.idx_apalis_jobs_lock_by;
CREATE INDEX jobs_held_idx ON apalis.jobs (lock_by) WHERE status IN ('Queued', 'Running') OR lock_by IS NOT NULL;

-- By queue, so that a rare job is found among millions of others. Rows of other programs may lack done_at. The index of
-- done jobs contains their kinds, so that those of a rare kind are found without reading a page of the table for each of
-- the thousands around them.
CREATE INDEX jobs_done_idx ON apalis.jobs (job_type, coalesce(done_at, run_at), (job_kind(job) COLLATE "C"))
    WHERE status = 'Done';
CREATE INDEX jobs_dead_idx ON apalis.jobs (job_type, coalesce(done_at, run_at))
    WHERE status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts);

-- The workers table has a few hundred rows at most, each updated every few seconds: without an index on last_seen a
-- heartbeat changes no index at all. (unique_worker_id repeats the primary key, but the foreign key of the jobs needs it.)
DROP INDEX IF EXISTS apalis.lsidx, apalis.wtidx, apalis.idx_apalis_workers_last_seen, apalis.idx_apalis_workers_worker_type;

-- When each scheduled job was last enqueued. The process that moves the time enqueues the job, so any number of workers
-- make one job per tick.
CREATE TABLE schedules (
    name text PRIMARY KEY,
    last_enqueued_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO schedules (name) VALUES ('reconcile'), ('housekeeping');

-- Queues that are not worked. The next claim of every worker sees it, and it survives restarts. Running jobs go on.
CREATE TABLE paused_queues (
    queue text PRIMARY KEY CHECK (length(queue) BETWEEN 1 AND 100),
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by uuid REFERENCES users ON DELETE SET NULL     -- null = the command line, or somebody who was deleted
);

-- How runs ended, added up where they are stored: counting finished jobs would cost more the faster they finish, and a job
-- that failed and then succeeded no longer shows its failure. Only the last hour is read and a crash may empty the table,
-- so it is not logged.
CREATE UNLOGGED TABLE job_counts (
    queue text NOT NULL,
    slot timestamptz NOT NULL DEFAULT date_bin('10 seconds', now(), '2000-01-01 00:00+00'),
    worker text NOT NULL,                                   -- part of the key, so that workers never wait for each other
    done bigint NOT NULL,
    failed bigint NOT NULL,                                 -- whether it will be tried again or is dead
    CONSTRAINT job_counts_pkey PRIMARY KEY (queue, slot, worker)
) WITH (fillfactor = 50);                                   -- a row is updated many times in its ten seconds, then never

-- The state of a job in the words of operators. Simple enough for the planner to inline.
--   due         could run now: it is new, or the time of its next attempt has come
--   scheduled   has not been tried and waits for its time
--   retrying    has failed and waits for its next attempt
--   running     a worker has it ('Queued' is apalis' own; we never write it)
--   done        its effect is committed
--   dead        has given up ('Failed' at its cap is how apalis' own backend leaves it)
--   discarded   an operator gave it up; metadata says who
CREATE FUNCTION job_state(job apalis.jobs) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN job.status = 'Done' THEN 'done'
        WHEN job.status IN ('Queued', 'Running') THEN 'running'
        WHEN job.status = 'Killed' OR (job.status = 'Failed' AND job.attempts >= job.max_attempts) THEN
            CASE WHEN (job.metadata -> 'discarded') IS NULL THEN 'dead' ELSE 'discarded' END
        WHEN job.run_at <= now() THEN 'due'
        WHEN job.status = 'Failed' THEN 'retrying'
        ELSE 'scheduled'
    END
$$;

-- A time that programs can read: rows written by hand may hold one that only Postgres knows, such as infinity.
CREATE FUNCTION readable_time(t timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t >= '0001-01-01 00:00+00' THEN least(t, '9999-12-31 00:00+00') END
$$;

-- Which queues have jobs, whatever their state and whether this program knows the queue. Jumps from name to name.
CREATE VIEW job_queues AS
WITH RECURSIVE names (queue) AS (
    SELECT ''
    UNION ALL
    SELECT least(
        (SELECT min(job_type) FROM apalis.jobs WHERE job_type > queue AND status = 'Done'),
        (SELECT min(job_type) FROM apalis.jobs WHERE job_type > queue
            AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))),
        (SELECT min(job_type) FROM apalis.jobs WHERE job_type > queue
            AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))),
        (SELECT min(job_type) FROM apalis.jobs WHERE job_type > queue AND status IN ('Queued', 'Running')))
    FROM names WHERE queue IS NOT NULL
)
SELECT queue FROM names WHERE queue <> '';
