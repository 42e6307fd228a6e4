-- Students, the most recently active first. $1 roadmap, $2 stage, $3 days without activity, $4 and $5 the key of the last
-- student before the page, $6 the number of students.
--
-- A roadmap or stage with few learners is read from its progress and sorted; one with many is met often enough while the
-- index of students is read in order. So neither reads more than some thousand rows, whatever the filter.
WITH wanted AS MATERIALIZED (
    SELECT coalesce($1::uuid, (SELECT s.roadmap_id FROM stages s WHERE s.id = $2::uuid)) AS roadmap_id
),
few AS MATERIALIZED (
    (SELECT p.user_id FROM user_stage_progress p
     WHERE $2 IS NOT NULL AND p.stage_id = $2 AND p.status IN ('available', 'in_progress')
     ORDER BY p.user_id LIMIT 2001)
    UNION ALL
    (SELECT p.user_id FROM user_roadmap_progress p
     WHERE $1 IS NOT NULL AND $2 IS NULL AND p.roadmap_id = $1
     ORDER BY p.user_id LIMIT 2001)
),
size AS MATERIALIZED (
    SELECT ($1 IS NOT NULL OR $2 IS NOT NULL) AND count(*) <= 2000 AS is_small FROM few
),
-- A scalar subquery is looked up for each student; EXISTS could be planned as one read of the whole table.
matching AS NOT MATERIALIZED (
    SELECT u.id, coalesce(u.last_active_at, u.created_at) AS active_at
    FROM users u
    WHERE u.role = 'student' AND u.deleted_at IS NULL
      AND CASE WHEN $1 IS NULL THEN true
               ELSE (SELECT true FROM user_roadmap_progress p WHERE p.user_id = u.id AND p.roadmap_id = $1) END
      AND CASE WHEN $2 IS NULL THEN true
               ELSE $2 = (SELECT s.id
                          FROM user_stage_progress p JOIN visible_stages s ON s.id = p.stage_id
                          WHERE p.user_id = u.id AND s.roadmap_id = (SELECT roadmap_id FROM wanted)
                            AND p.lessons_total > 0 AND p.status IN ('available', 'in_progress')
                          ORDER BY s.position, s.id LIMIT 1) END
      AND CASE WHEN $3::integer IS NULL THEN true ELSE u.progress_percent < 100 END
      AND coalesce(u.last_active_at, u.created_at) < coalesce(now() - make_interval(days => $3), 'infinity')
      AND (coalesce(u.last_active_at, u.created_at), u.id)
          < (coalesce($4::timestamptz, 'infinity'), coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
),
chosen AS (
    (SELECT m.id, m.active_at FROM few
     CROSS JOIN LATERAL (SELECT * FROM matching m WHERE m.id = few.user_id OFFSET 0) m
     WHERE (SELECT is_small FROM size)
     ORDER BY m.active_at DESC, m.id DESC LIMIT $6)
    UNION ALL
    (SELECT m.id, m.active_at FROM matching m
     WHERE NOT (SELECT is_small FROM size)
     ORDER BY m.active_at DESC, m.id DESC LIMIT $6)
)
SELECT u.id AS "id!", u.first_name AS "first_name!", u.last_name AS "last_name?", u.avatar_url AS "avatar_url?: String",
    u.status = 'suspended' AS "is_suspended!", u.progress_percent AS "progress_percent?",
    u.last_active_at AS "last_active_at?", u.created_at AS "created_at!",
    n.stage_id AS "stage_id?", n.stage_title AS "stage_title?", n.roadmap_id AS "roadmap_id?",
    n.roadmap_title AS "roadmap_title?", n.roadmap_percent AS "roadmap_percent?",
    NULL::integer AS "match?", NULL::text AS "name_key?"
FROM chosen c
JOIN users u ON u.id = c.id
LEFT JOIN LATERAL (
    SELECT s.id AS stage_id, s.title AS stage_title, r.id AS roadmap_id, r.title AS roadmap_title,
        rp.percent AS roadmap_percent
    FROM user_stage_progress p
    JOIN visible_stages s ON s.id = p.stage_id
    JOIN roadmaps r ON r.id = s.roadmap_id
    JOIN user_roadmap_progress rp ON rp.user_id = p.user_id AND rp.roadmap_id = s.roadmap_id
    WHERE p.user_id = c.id AND p.lessons_total > 0 AND p.status IN ('available', 'in_progress')
      AND ((SELECT roadmap_id FROM wanted) IS NULL OR s.roadmap_id = (SELECT roadmap_id FROM wanted))
    ORDER BY rp.updated_at DESC, r.id, s.position, s.id LIMIT 1
) n ON true
ORDER BY c.active_at DESC, c.id DESC
