SELECT j.id AS "id!", j.job_type AS "queue!", j.state AS "state!: State", nullif(job_kind(j.job), '') AS kind,
    j.attempts AS "attempts!", j.max_attempts AS "max_attempts!", readable_time(j.run_at) AS run_at,
    readable_time(j.lock_at) AS started_at, j.lock_by AS worker, readable_time(j.done_at) AS ended_at,
    left(j.last_result ->> 'Err', 300) AS error, readable_time(coalesce(j.done_at, j.run_at)) AS at
FROM (SELECT queue FROM job_queues WHERE $2::text IS NULL OR queue = $2) q
CROSS JOIN LATERAL (
    (SELECT *, job_state(j) AS state FROM apalis.jobs j
     WHERE job_type = q.queue AND status = 'Done'
       AND 'done' = ANY ($1::text[]) AND job_kind(job) COLLATE "C" BETWEEN coalesce($3, '') AND coalesce($3, '~')
       AND (coalesce(done_at, run_at), id) < (coalesce($4, 'infinity'::timestamptz), $5::text)
     ORDER BY coalesce(done_at, run_at) DESC, id DESC LIMIT 101)
    UNION ALL
    (SELECT *, job_state(j) FROM apalis.jobs j
     WHERE job_type = q.queue AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))
       AND job_state(j) = ANY ($1) AND ($3 IS NULL OR job_kind(job) = $3)
       AND (coalesce(done_at, run_at), id) < (coalesce($4, 'infinity'::timestamptz), $5)
     ORDER BY coalesce(done_at, run_at) DESC, id DESC LIMIT 101)
    UNION ALL
    (SELECT *, job_state(j) FROM apalis.jobs j
     WHERE job_type = q.queue AND status IN ('Queued', 'Running')
       AND 'running' = ANY ($1) AND ($3 IS NULL OR job_kind(job) = $3)
       AND (coalesce(done_at, run_at), id) < (coalesce($4, 'infinity'::timestamptz), $5)
     ORDER BY coalesce(done_at, run_at) DESC, id DESC LIMIT 101)
    UNION ALL
    (SELECT *, job_state(j) FROM apalis.jobs j
     WHERE job_type = q.queue AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
       AND job_state(j) = ANY ($1) AND ($3 IS NULL OR job_kind(job) = $3)
       AND (coalesce(done_at, run_at), id) < (coalesce($4, 'infinity'::timestamptz), $5)
     ORDER BY coalesce(done_at, run_at) DESC, id DESC LIMIT 101)
) j
ORDER BY coalesce(j.done_at, j.run_at) DESC, j.id DESC
LIMIT $6
