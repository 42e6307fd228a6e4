-- $1 the last word of the chunk before, $2 how many words a chunk has. While the worker has changes to count, or is counting
-- them, the numbers may differ.
WITH word AS MATERIALIZED (
    SELECT lexeme FROM (
        (SELECT lexeme FROM search_lexemes WHERE lexeme > $1::text COLLATE "C" ORDER BY lexeme LIMIT $2)
        UNION (SELECT DISTINCT lexeme FROM search_postings WHERE lexeme > $1::text COLLATE "C" ORDER BY lexeme LIMIT $2)
    ) candidates
    ORDER BY lexeme LIMIT $2
),
difference AS (
    SELECT w.lexeme, s.objects AS stored, p.objects AS expected
    FROM word w
    LEFT JOIN search_lexemes s USING (lexeme)
    CROSS JOIN LATERAL (SELECT nullif(count(*), 0) AS objects FROM search_postings p WHERE p.lexeme = w.lexeme) p
    WHERE s.objects IS DISTINCT FROM p.objects AND NOT EXISTS (SELECT FROM search_changes)
)
SELECT (SELECT lexeme FROM word ORDER BY lexeme DESC LIMIT 1) AS last,
    coalesce(array_agg(jsonb_build_object('word', lexeme)), '{}') AS "ids!: Vec<Value>",
    coalesce(array_agg(coalesce(to_jsonb(stored), 'null')), '{}') AS "stored!: Vec<Value>",
    coalesce(array_agg(coalesce(to_jsonb(expected), 'null')), '{}') AS "expected!: Vec<Value>"
FROM difference
