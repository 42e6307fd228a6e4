-- $1 wanted words, $2 unwanted words, $3 kinds, $4 how much of each list is read, $5 limit, $6 whether words of the same meaning
-- match.
WITH word AS MATERIALIZED (
    SELECT DISTINCT ON (l.lexeme) w.nth, w.word, l.lexeme COLLATE "C" AS lexeme, w.nth = cardinality($1::text[]) AS is_last,
        coalesce(c.weight, 1)::double precision AS weight,
        EXISTS (SELECT FROM search_postings p WHERE p.lexeme = l.lexeme COLLATE "C") AS is_known
    FROM unnest($1::text[]) WITH ORDINALITY AS w (word, nth)
    CROSS JOIN LATERAL unnest(to_tsvector('russian', folded(w.word))) l
    LEFT JOIN search_common_words c ON c.lexeme = l.lexeme COLLATE "C"
    ORDER BY l.lexeme, w.nth DESC
),
-- Words that occur nowhere and are not too short to be recognised. Each costs a look at many others, so there are only a few.
unknown AS MATERIALIZED (
    SELECT w.nth, w.word, w.lexeme FROM word w
    WHERE NOT w.is_known AND w.weight = 1 AND length(w.word) BETWEEN 4 AND 40
    ORDER BY length(w.word) DESC, w.nth LIMIT 3
),
-- Each word as it is, as what lessons call it, as the beginning of another one if it may not be finished, and as it may have
-- been meant if it occurs nowhere.
meant AS MATERIALIZED (
    SELECT w.nth, w.lexeme, w.weight AS likeness FROM word w
    UNION ALL
    SELECT w.nth, s.other, 0.6 * w.weight FROM word w JOIN search_synonyms s ON s.lexeme = w.lexeme
    WHERE $6::boolean
    UNION ALL
    SELECT w.nth, longer.lexeme, 0.5
    FROM word w
    CROSS JOIN LATERAL (
        SELECT s.lexeme FROM search_lexemes s
        WHERE (w.is_last AND cardinality($1::text[]) <= 4 AND length(w.word) >= 2 OR NOT w.is_known AND length(w.word) >= 4)
            AND s.lexeme > folded(w.word) COLLATE "C" AND s.lexeme < (folded(w.word) || chr(1114111)) COLLATE "C"
            AND s.lexeme <> w.lexeme
        ORDER BY s.objects DESC, s.lexeme LIMIT 8
    ) longer
    UNION ALL
    SELECT w.nth, near.lexeme, 0.7 / near.distance
    FROM unknown w
    CROSS JOIN LATERAL (
        -- A misspelled word may be stemmed wrongly as well.
        SELECT s.lexeme, greatest(1, least(
            levenshtein_less_equal(s.lexeme, w.lexeme, 2), levenshtein_less_equal(s.lexeme, w.word, 2))) AS distance
        FROM search_lexemes s
        WHERE length(s.lexeme) BETWEEN length(w.lexeme) - 2 AND length(w.word) + 2 AND length(s.lexeme) >= 3
            -- The first letter is seldom wrong, and looking only there reads a small part of all words.
            AND s.lexeme > left(w.lexeme, 1) COLLATE "C" AND s.lexeme < (left(w.lexeme, 1) || chr(1114111)) COLLATE "C"
        ORDER BY 2, s.objects DESC, s.lexeme LIMIT 5
    ) near
    WHERE near.distance <= CASE WHEN length(w.word) >= 6 THEN 2 ELSE 1 END
),
-- How rare each word is, as in BM25.
rare AS MATERIALIZED (
    SELECT m.nth, m.lexeme,
        m.likeness * ln(1 + (greatest(total.objects, s.objects, 1) - coalesce(s.objects, 0) + 0.5) / (coalesce(s.objects, 0) + 0.5)) AS score
    FROM meant m
    LEFT JOIN search_lexemes s ON s.lexeme = m.lexeme
    LEFT JOIN search_lexemes total ON total.lexeme = ''
),
matched AS (
    SELECT r.nth, k.kind, p.object_id, max(r.score * p.weight) AS score
    FROM rare r
    CROSS JOIN unnest($3::search_kind[]) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT p.object_id, p.weight FROM search_postings p
        WHERE p.lexeme = r.lexeme AND p.kind = k.kind
        ORDER BY p.weight DESC LIMIT $4::bigint
    ) p
    GROUP BY r.nth, k.kind, p.object_id
),
-- More than are returned, because some may have become invisible a moment ago or contain an unwanted word, and because their
-- passages may change their order.
candidate AS MATERIALIZED (
    SELECT kind, object_id, sum(score) AS score
    FROM matched
    GROUP BY kind, object_id
    ORDER BY score DESC, kind, object_id
    LIMIT greatest(3 * $5::bigint, 20)
),
first_candidate AS MATERIALIZED (
    SELECT kind, object_id FROM candidate ORDER BY score DESC, kind, object_id LIMIT 20
),
-- The best passages of the first candidates: BM25 again, for a passage of about 45 different words. The title counts as one, but
-- is none to quote. OFFSET keeps the planner from reading all passages.
passage AS MATERIALIZED (
    SELECT c.kind, c.object_id, max(m.score) AS score,
        (array_agg(p.content ORDER BY m.score DESC, p.nth) FILTER (WHERE p.nth > 0))[1] AS content
    FROM first_candidate c
    CROSS JOIN LATERAL (
        SELECT p.nth, p.content, p.vector FROM search_passages p WHERE p.object_id = c.object_id AND p.kind = c.kind OFFSET 0
    ) p
    CROSS JOIN LATERAL (
        SELECT sum(best.score) AS score FROM (
            SELECT max(r.score * 2.2 * cardinality(l.positions)
                / (cardinality(l.positions) + 1.2 * (0.25 + 0.75 * length(p.vector) / 45.0))) AS score
            FROM unnest(p.vector) l JOIN rare r ON r.lexeme = l.lexeme COLLATE "C"
            GROUP BY r.nth
        ) best
    ) m
    WHERE m.score > 0
    GROUP BY c.kind, c.object_id
),
best AS MATERIALIZED (
    SELECT c.kind, c.object_id, c.score + 0.3 * coalesce(p.score, 0) AS score, p.content AS passage
    FROM candidate c LEFT JOIN passage p USING (kind, object_id)
),
unwanted AS MATERIALIZED (
    SELECT l.lexeme FROM unnest($2::text[]) AS w (word)
    CROSS JOIN LATERAL unnest(to_tsvector('russian', folded(w.word))) l
),
found AS MATERIALIZED (
    SELECT b.score, b.passage, s.*
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
    f.score::double precision AS "score!", f.passage AS "passage?",
    ts_headline('russian', translate(f.title, U&'\E000\E001', ''), mark.query,
        U&'HighlightAll=true, StartSel="\E000", StopSel="\E001"') AS "marked_title!",
    ts_headline('russian', translate(left(f.about, 2000), U&'\E000\E001', ''), mark.query,
        U&'MaxWords=40, MinWords=20, StartSel="\E000", StopSel="\E001"') AS "marked_snippet!"
FROM found f CROSS JOIN mark
ORDER BY f.score DESC, f.kind, f.id
