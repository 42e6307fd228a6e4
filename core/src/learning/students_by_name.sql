-- Students by name, or those whose name begins with a text: first those whose full name does, then those whose last name does.
-- $1 roadmap, $2 stage, $3 days without activity, $4 the text, $5, $6 and $7 the key of the last student before
-- the page, $8 the number of students. Names are compared as ranges of text, so no character of the text has a meaning.
--
-- As in students_by_activity.sql, a roadmap or stage with few learners is read from its progress.
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
matching AS NOT MATERIALIZED (
    SELECT u.id,
        fold_name(u.first_name || ' ' || coalesce(u.last_name, '')) COLLATE "C" AS by_first,
        fold_name(coalesce(u.last_name, '') || ' ' || u.first_name) COLLATE "C" AS by_last
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
      AND CASE WHEN $3::integer IS NULL THEN true
               ELSE u.progress_percent < 100
                   AND coalesce(u.last_active_at, u.created_at) < now() - make_interval(days => $3) END
),
chosen AS (
    (SELECT m.id, 1 AS match, m.by_first AS name_key FROM few
     CROSS JOIN LATERAL (SELECT * FROM matching m WHERE m.id = few.user_id OFFSET 0) m
     WHERE (SELECT is_small FROM size) AND coalesce($5::integer, 1) = 1
       AND m.by_first < fold_name($4::text) || chr(1114111)
       AND (m.by_first, m.id)
           > (greatest($6::text, fold_name($4)), coalesce($7::uuid, '00000000-0000-0000-0000-000000000000'))
     ORDER BY m.by_first, m.id LIMIT $8)
    UNION ALL
    (SELECT m.id, 1, m.by_first FROM matching m
     WHERE NOT (SELECT is_small FROM size) AND coalesce($5, 1) = 1
       AND m.by_first < fold_name($4) || chr(1114111)
       AND (m.by_first, m.id) > (greatest($6, fold_name($4)), coalesce($7, '00000000-0000-0000-0000-000000000000'))
     ORDER BY m.by_first, m.id LIMIT $8)
    UNION ALL
    (SELECT m.id, 2, m.by_last FROM matching m
     WHERE $4 <> '' AND CASE WHEN m.by_first < fold_name($4) THEN true
                            ELSE m.by_first >= fold_name($4) || chr(1114111) END
       AND m.by_last < fold_name($4) || chr(1114111)
       AND (m.by_last, m.id) > (greatest(CASE WHEN $5 = 2 THEN $6 END, fold_name($4)),
                                coalesce(CASE WHEN $5 = 2 THEN $7 END, '00000000-0000-0000-0000-000000000000'))
     ORDER BY m.by_last, m.id LIMIT $8)
),
page AS MATERIALIZED (
    SELECT * FROM chosen ORDER BY match, name_key, id LIMIT $8
)
SELECT u.id AS "id!", u.first_name AS "first_name!", u.last_name AS "last_name?", u.avatar_url AS "avatar_url?: String",
    u.status = 'suspended' AS "is_suspended!", u.progress_percent AS "progress_percent?",
    u.last_active_at AS "last_active_at?", u.created_at AS "created_at!",
    n.stage_id AS "stage_id?", n.stage_title AS "stage_title?", n.roadmap_id AS "roadmap_id?",
    n.roadmap_title AS "roadmap_title?", n.roadmap_percent AS "roadmap_percent?",
    c.match AS "match?", c.name_key AS "name_key?"
FROM page c
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
ORDER BY c.match, c.name_key, c.id
