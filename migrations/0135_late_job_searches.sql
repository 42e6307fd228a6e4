-- When each queue was last searched for late jobs, which are behind the position where claims begin. One worker of all
-- searches a queue at a time, because the search reads an index entry for every job that was claimed since the oldest
-- snapshot. A crash may empty the table.
CREATE UNLOGGED TABLE late_job_searches (
    queue text PRIMARY KEY CHECK (length(queue) BETWEEN 1 AND 100),
    begun_at timestamptz NOT NULL
) WITH (fillfactor = 50);
