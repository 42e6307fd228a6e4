-- $1 wanted words, $2 unwanted words, $3 kinds, $4 how much of each list is read, $5 limit.
WITH word AS MATERIALIZED (
    SELECT DISTINCT ON (l.lexeme) w.nth, w.word, l.lexeme, w.nth = cardinality($1::text[]) AS is_last
    FROM unnest($1::text[]) WITH ORDINALITY AS w (word, nth)
    CROSS JOIN LATERAL unnest(to_tsvector('russian', folded(w.word))) l
    ORDER BY l.lexeme, w.nth DESC
),
-- Each word as it is, as the beginning of another one if it may not be finished, and as it may have been meant if it occurs
-- nowhere.
meant AS MATERIALIZED (
    SELECT w.nth, w.lexeme COLLATE "C" AS lexeme, 1.0 AS likeness FROM word w
    UNION ALL
    SELECT w.nth, longer.lexeme, 0.6
    FROM word w
    CROSS JOIN LATERAL (
        SELECT s.lexeme FROM search_lexemes s
        WHERE w.is_last AND length(w.word) >= 2 AND s.lexeme > folded(w.word) COLLATE "C" AND s.lexeme < (folded(w.word) || chr(1114111)) COLLATE "C"
            AND s.lexeme <> w.lexeme COLLATE "C"
        ORDER BY s.objects DESC, s.lexeme LIMIT 8
    ) longer
    UNION ALL
    SELECT w.nth, near.lexeme, 0.5 / near.distance
    FROM word w
    CROSS JOIN LATERAL (
        -- A misspelled word may be stemmed wrongly as well.
        SELECT s.lexeme, greatest(1, least(
            levenshtein_less_equal(s.lexeme, w.lexeme, 2), levenshtein_less_equal(s.lexeme, w.word, 2))) AS distance
        FROM search_lexemes s
        -- A long question is understood without a misspelled word, and each costs a look at many others.
        WHERE cardinality($1::text[]) <= 6 AND length(w.word) BETWEEN 4 AND 40 AND length(s.lexeme) BETWEEN length(w.lexeme) - 2 AND length(w.word) + 2
            AND length(s.lexeme) >= 3
            -- The first letter is seldom wrong, and looking only there reads a small part of all words.
            AND s.lexeme > left(w.lexeme, 1) COLLATE "C" AND s.lexeme < (left(w.lexeme, 1) || chr(1114111)) COLLATE "C"
            AND NOT EXISTS (SELECT FROM search_postings p WHERE p.lexeme = w.lexeme COLLATE "C")
        ORDER BY 2, s.objects DESC, s.lexeme LIMIT 5
    ) near
    WHERE near.distance <= CASE WHEN length(w.word) >= 6 THEN 2 ELSE 1 END
),
-- How rare each word is, as in BM25.
rare AS MATERIALIZED (
    SELECT m.nth, m.lexeme, m.likeness * ln(1 + greatest(total.objects, s.objects, 1)::numeric / (coalesce(s.objects, 0) + 0.5)) AS score
    FROM meant m
    LEFT JOIN search_lexemes s ON s.lexeme = m.lexeme
    LEFT JOIN search_lexemes total ON total.lexeme = ''
),
matched AS (
    SELECT r.nth, k.kind, p.object_id, max(r.score::double precision * p.weight) AS score
    FROM rare r
    CROSS JOIN unnest($3::search_kind[]) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT p.object_id, p.weight FROM search_postings p
        WHERE p.lexeme = r.lexeme AND p.kind = k.kind
        ORDER BY p.weight DESC LIMIT $4::bigint
    ) p
    GROUP BY r.nth, k.kind, p.object_id
),
-- More than are returned, because some may have become invisible a moment ago or contain an unwanted word.
best AS MATERIALIZED (
    SELECT kind, object_id, sum(score) * count(*) AS score
    FROM matched
    GROUP BY kind, object_id
    ORDER BY score DESC, kind, object_id
    LIMIT 3 * $5::bigint
),
unwanted AS MATERIALIZED (
    SELECT l.lexeme FROM unnest($2::text[]) AS w (word) CROSS JOIN LATERAL unnest(to_tsvector('russian', folded(w.word))) l
),
found AS MATERIALIZED (
    SELECT b.score, s.*
    FROM best b
    -- OFFSET keeps the planner from joining the few best with everything that is searchable.
    CROSS JOIN LATERAL (SELECT * FROM searchable s WHERE s.kind = b.kind AND s.id = b.object_id OFFSET 0) s
    WHERE NOT EXISTS (
        SELECT FROM search_postings p
        WHERE p.object_id = b.object_id AND p.lexeme IN (SELECT u.lexeme COLLATE "C" FROM unwanted u)
    )
    ORDER BY b.score DESC, s.kind, s.id
    LIMIT $5::bigint
),
-- Lexemes are quoted, because they may contain what the syntax of queries uses.
mark AS MATERIALIZED (
    SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery AS query FROM meant
)
SELECT f.kind AS "kind!: HitKind", f.id AS "id!", f.slug AS "slug!", f.title AS "title!", left(f.about, 300) AS "about!",
    ts_headline('russian', translate(f.title, U&'\E000\E001', ''), mark.query,
        U&'HighlightAll=true, StartSel="\E000", StopSel="\E001"') AS "marked_title!",
    ts_headline('russian', translate(left(f.about, 2000), U&'\E000\E001', ''), mark.query,
        U&'MaxWords=40, MinWords=20, StartSel="\E000", StopSel="\E001"') AS "marked_snippet!"
FROM found f CROSS JOIN mark
ORDER BY f.score DESC, f.kind, f.id
