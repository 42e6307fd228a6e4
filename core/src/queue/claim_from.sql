-- Claims the jobs that were found to be late, then those of a higher priority than usual, then the first due jobs from $5 on.
-- Answers one row even if there is none: the position that the claim has reached.
WITH paused AS (
    SELECT EXISTS (SELECT FROM paused_queues WHERE queue = $1) AS is_paused
), late AS (
    -- Written so that the planner finds these jobs by their ids, not among all that wait, whatever it believes of their number.
    SELECT id FROM apalis.jobs
    WHERE id = ANY ($6) AND job_type = $1 AND run_at <= now()
      AND (status || '' = 'Pending' OR (status || '' = 'Failed' AND attempts < max_attempts))
      AND NOT (SELECT is_paused FROM paused)
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), urgent AS (
    SELECT id FROM apalis.jobs
    WHERE job_type = $1 AND priority > 0 AND run_at <= now() AND id <> ALL ($6)
      AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
      AND NOT (SELECT is_paused FROM paused)
    ORDER BY priority DESC, run_at
    LIMIT $3 - (SELECT count(*) FROM late)
    FOR UPDATE SKIP LOCKED
), room AS (
    SELECT $3 - (SELECT count(*) FROM late) - (SELECT count(*) FROM urgent) AS jobs
), due AS (
    SELECT id, run_at FROM apalis.jobs
    WHERE job_type = $1 AND priority = 0 AND run_at >= $5 AND run_at <= now() AND id <> ALL ($6)
      AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
      AND NOT (SELECT is_paused FROM paused)
    ORDER BY run_at
    LIMIT (SELECT jobs FROM room)
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE apalis.jobs j
    SET status = 'Running', lock_by = $2, lock_at = now(), attempts = j.attempts + 1
    WHERE j.id = ANY (ARRAY(SELECT id FROM late UNION ALL SELECT id FROM urgent UNION ALL SELECT id FROM due))
    RETURNING j.id, j.lock_by, j.job, j.attempts, j.max_attempts, j.lock_at, j.run_at
), reached AS (
    -- Not beyond the present: the clock may have been set back.
    SELECT least(now() - make_interval(secs => $4), CASE
        WHEN (SELECT is_paused FROM paused) OR (SELECT jobs FROM room) = 0 THEN $5
        WHEN count(*) = (SELECT jobs FROM room) THEN max(run_at)
    END) AS next
    FROM due
)
SELECT r.next, c.id AS "id?", c.lock_by AS "worker?", c.job AS "payload?", c.attempts AS "attempt?",
    c.max_attempts AS "max_attempts?", c.lock_at AS "taken_at?",
    extract(epoch FROM now() - greatest(c.run_at, 'epoch'))::float8 AS "waited?"
FROM reached r LEFT JOIN claimed c ON true
