-- $1 the last id of the chunk before, $2 how many objects a chunk has. Objects that have passages and objects that could have
-- some, so that what is left of an object that does not exist is found as well. How an object becomes passages is written here once
-- more on purpose, so that a mistake in index_for_search is found.
WITH object AS MATERIALIZED (
    SELECT id FROM (
        (SELECT id FROM lessons WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM prompts WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM glossary_terms WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM style_cards WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM showcase_projects WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT DISTINCT object_id FROM search_passages WHERE object_id > $1 ORDER BY object_id LIMIT $2)
    ) candidates
    ORDER BY id LIMIT $2
),
expected AS (
    SELECT s.kind, s.id, p.nth, p.content
    FROM object o
    CROSS JOIN LATERAL (SELECT * FROM searchable WHERE id = o.id) s
    CROSS JOIN LATERAL (
        SELECT 0 AS nth, s.title AS content
        UNION ALL
        SELECT nth, content FROM passages_of(s.text) WITH ORDINALITY AS p (content, nth)
        UNION ALL
        SELECT -nth, s.questions[nth] FROM generate_subscripts(s.questions, 1) AS q (nth)
    ) p
),
stored AS (
    SELECT p.kind, p.object_id AS id, p.nth::bigint, p.content, p.vector
    FROM object o JOIN search_passages p ON p.object_id = o.id
),
wrong AS (
    SELECT kind, id, nth, s.content AS stored, e.content AS expected
    FROM expected e FULL JOIN stored s USING (kind, id, nth)
    WHERE s.content IS DISTINCT FROM e.content OR s.vector IS DISTINCT FROM search_vector('', '', e.content)
)
SELECT (SELECT id FROM object ORDER BY id DESC LIMIT 1) AS last,
    coalesce(array_agg(jsonb_build_object('kind', kind, 'id', id, 'nth', nth)), '{}') AS "ids!: Vec<Value>",
    coalesce(array_agg(coalesce(to_jsonb(left(stored, 200)), 'null')), '{}') AS "stored!: Vec<Value>",
    coalesce(array_agg(coalesce(to_jsonb(left(expected, 200)), 'null')), '{}') AS "expected!: Vec<Value>"
FROM wrong
