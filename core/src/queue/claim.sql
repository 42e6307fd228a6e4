-- Claims the first due jobs of a queue. Answers one row even if there is none: the position that the claim has reached, which is
-- unknown while jobs of another priority than the usual one may be left.
WITH paused AS (
    SELECT EXISTS (SELECT FROM paused_queues WHERE queue = $1) AS is_paused
), due AS (
    SELECT id, priority, run_at FROM apalis.jobs
    WHERE job_type = $1 AND run_at <= now()
      AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
      AND NOT (SELECT is_paused FROM paused)
    ORDER BY priority DESC, run_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE apalis.jobs j
    SET status = 'Running', lock_by = $2, lock_at = now(), attempts = j.attempts + 1
    WHERE j.id = ANY (ARRAY(SELECT id FROM due))
    RETURNING j.id, j.lock_by, j.job, j.attempts, j.max_attempts, j.lock_at, j.run_at
), reached AS (
    SELECT CASE
        WHEN (SELECT is_paused FROM paused) THEN NULL
        WHEN count(*) < $3 THEN now() - make_interval(secs => $4)
        WHEN bool_or(priority = 0) THEN
            least(greatest(max(run_at) FILTER (WHERE priority = 0), 'epoch'), now() - make_interval(secs => $4))
    END AS next
    FROM due
)
SELECT r.next, c.id AS "id?", c.lock_by AS "worker?", c.job AS "payload?", c.attempts AS "attempt?",
    c.max_attempts AS "max_attempts?", c.lock_at AS "taken_at?",
    extract(epoch FROM now() - greatest(c.run_at, 'epoch'))::float8 AS "waited?"
FROM reached r LEFT JOIN claimed c ON true
