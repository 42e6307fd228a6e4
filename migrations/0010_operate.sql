-- What operators see of the queues and do to them, and indexes that answer at any number of finished jobs.

-- A queue that stands here is not worked: the next claim of every worker sees it, and it outlives restarts. Running jobs
-- go on.
CREATE TABLE paused_queues (
    queue text PRIMARY KEY CHECK (length(queue) BETWEEN 1 AND 100),
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by uuid REFERENCES users ON DELETE SET NULL     -- null = the command line, or somebody who is gone
);

-- How runs ended, added up where they are stored: counting finished jobs would cost more the faster they finish, and
-- of a job that failed and then succeeded the failure is forgotten. Only the last hour is read and a crash may empty it,
-- so it is not logged.
CREATE UNLOGGED TABLE job_counts (
    queue text NOT NULL,
    slot timestamptz NOT NULL DEFAULT date_bin('10 seconds', now(), '2000-01-01 00:00+00'),
    worker text NOT NULL,                                   -- of whom the runs were, so that workers never wait for each other
    done bigint NOT NULL,
    failed bigint NOT NULL,                                 -- whether it will be tried again or is dead
    CONSTRAINT job_counts_pkey PRIMARY KEY (queue, slot, worker)
) WITH (fillfactor = 50);                                   -- a row is updated many times in its ten seconds, then never

-- The state of a job in the words of operators. Simple enough for the planner to inline.
--   due         could run now: new, or its next attempt has come
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

-- A time as programs can read it: rows written by hand may hold one that only Postgres knows, such as infinity.
CREATE FUNCTION readable_time(t timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t >= '0001-01-01 00:00+00' THEN least(t, '9999-12-31 00:00+00') END
$$;

-- Indexes of the jobs table. A job is written three times (enqueued, taken, ended), and because its status is part of
-- every partial index each time makes an entry in every index that takes the row: an index over all rows costs three
-- entries a job, a partial one a single entry. So none covers all rows but the primary key, and every state has exactly
-- one that answers for it:
--   waiting     idx_apalis_jobs_fetch_partial (job_type, priority DESC, run_at), apalis' own: claim, overview, lists
--   held        jobs_held_idx: rescue, workers and what they hold
--   done, dead  jobs_done_idx, jobs_dead_idx: retention and lists of a queue by the time they ended

-- Unique for ever and always null here: the same guarantee without an entry for every job.
DROP INDEX apalis.idx_jobs_idempotency_key;
CREATE UNIQUE INDEX idx_jobs_idempotency_key ON apalis.jobs (job_type, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Two indexes on who holds a job, one of them over all rows, become one. The foreign key to apalis.workers looks up
-- lock_by alone; a job that runs and is held by nobody must be found by the rescue.
DROP INDEX apalis.idx_apalis_jobs_lock_by, apalis.jobs_held_idx;
CREATE INDEX jobs_held_idx ON apalis.jobs (lock_by) WHERE status IN ('Queued', 'Running') OR lock_by IS NOT NULL;

-- By queue, so that a rare job is found among millions of others. Rows of other programs may lack done_at.
DROP INDEX apalis.jobs_finished_idx;
CREATE INDEX jobs_done_idx ON apalis.jobs (job_type, coalesce(done_at, run_at)) WHERE status = 'Done';
CREATE INDEX jobs_dead_idx ON apalis.jobs (job_type, coalesce(done_at, run_at))
    WHERE status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts);

-- A few hundred rows at most, each touched every few seconds: without an index on last_seen a heartbeat changes no index
-- at all. (unique_worker_id repeats the primary key, but the foreign key of the jobs hangs on it.)
DROP INDEX IF EXISTS apalis.lsidx, apalis.wtidx, apalis.idx_apalis_workers_last_seen, apalis.idx_apalis_workers_worker_type;

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

-- Retention of what is not jobs, in chunks as well.
CREATE INDEX refresh_tokens_used_at_idx ON refresh_tokens (used_at) WHERE used_at IS NOT NULL;
-- Whether the chunks of a completed reply are gone. Without it every run would ask every reply there ever was.
ALTER TABLE ai_replies ADD COLUMN chunks_removed boolean NOT NULL DEFAULT false;
CREATE INDEX ai_replies_chunks_idx ON ai_replies (finished_at) WHERE state = 'completed' AND NOT chunks_removed;
