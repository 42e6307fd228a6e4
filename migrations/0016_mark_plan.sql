-- As before, in PL/pgSQL: Postgres plans what an SQL function of this kind does anew for each call, which took longer than
-- all else that a completion does in the database. This plan is kept by the connection, so it must not depend on how few
-- rows there were when it was made.
CREATE OR REPLACE FUNCTION mark_lessons_dirty(user_ids uuid[], lesson_ids uuid[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO progress_dirty AS d (user_id, roadmap_id, requested_seq, done_version)
    SELECT DISTINCT c.user_id, s.roadmap_id, 1, r.content_version
    FROM unnest(user_ids, lesson_ids) AS c (user_id, lesson_id)
    JOIN stage_lessons sl ON sl.lesson_id = c.lesson_id
    JOIN stages s ON s.id = sl.stage_id
    JOIN roadmaps r ON r.id = s.roadmap_id
    WHERE EXISTS (SELECT FROM users u WHERE u.id = c.user_id)  -- a deleted user's facts cascade away: nothing to mark
    ORDER BY 1, 2                                               -- one lock order for all writers
    ON CONFLICT (user_id, roadmap_id) DO UPDATE
        SET requested_seq = d.requested_seq + 1,
            requested_at = CASE WHEN d.done_seq = d.requested_seq THEN now() ELSE d.requested_at END;
END;
$$;
