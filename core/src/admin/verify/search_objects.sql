-- $1 the last id of the chunk before, $2 how many objects a chunk has. Objects that have postings and objects that could have
-- some, so that what is left of an object that does not exist is found as well.
WITH object AS MATERIALIZED (
    SELECT id FROM (
        (SELECT id FROM lessons WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM prompts WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM glossary_terms WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM style_cards WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT id FROM showcase_projects WHERE id > $1 ORDER BY id LIMIT $2)
        UNION (SELECT DISTINCT object_id FROM search_postings WHERE object_id > $1 ORDER BY object_id LIMIT $2)
    ) candidates
    ORDER BY id LIMIT $2
),
-- BM25 as its authors write it, in floating-point numbers; the index computes it as a fraction of decimals.
expected AS (
    SELECT s.kind, s.id, l.lexeme COLLATE "C" AS lexeme,
        f.frequency * (1.2 + 1) / (f.frequency + 1.2 * (1 - 0.75 + 0.75 * length(v.vector) / 100::float8)) AS weight
    FROM object o
    CROSS JOIN LATERAL (SELECT * FROM searchable WHERE id = o.id) s
    CROSS JOIN LATERAL (SELECT search_vector(s.title, s.about, array_to_string(array_prepend(s.text, s.questions), ' ')) AS vector OFFSET 0) v
    CROSS JOIN LATERAL unnest(v.vector) l
    CROSS JOIN LATERAL (
        SELECT (4 * cardinality(array_positions(l.weights, 'A')) + 2 * cardinality(array_positions(l.weights, 'B'))
            + cardinality(array_positions(l.weights, 'C')))::float8 AS frequency
    ) f
),
stored AS (
    SELECT p.kind, p.object_id AS id, p.lexeme, array_agg(p.weight ORDER BY p.weight) AS weights
    FROM object o JOIN search_postings p ON p.object_id = o.id
    GROUP BY p.kind, p.object_id, p.lexeme
),
wrong AS (
    SELECT kind, id, lexeme, s.weights, e.weight,
        row_number() OVER (PARTITION BY kind, id ORDER BY lexeme) AS number
    FROM expected e FULL JOIN stored s USING (kind, id, lexeme)
    WHERE e.weight IS NULL OR s.weights IS NULL OR cardinality(s.weights) <> 1 OR abs(s.weights[1] - e.weight) > e.weight / 10000
),
-- The first ten words of each object are enough to see what is wrong with it.
difference AS (
    SELECT jsonb_build_object('kind', kind, 'id', id) AS ids,
        jsonb_object_agg(lexeme, to_jsonb(weights)) FILTER (WHERE weights IS NOT NULL) AS stored,
        jsonb_object_agg(lexeme, jsonb_build_array(weight::real)) FILTER (WHERE weight IS NOT NULL) AS expected
    FROM wrong
    WHERE number <= 10
    GROUP BY kind, id
)
SELECT (SELECT id FROM object ORDER BY id DESC LIMIT 1) AS last,
    coalesce(array_agg(ids), '{}') AS "ids!: Vec<Value>",
    coalesce(array_agg(coalesce(stored, 'null')), '{}') AS "stored!: Vec<Value>",
    coalesce(array_agg(coalesce(expected, 'null')), '{}') AS "expected!: Vec<Value>"
FROM difference
