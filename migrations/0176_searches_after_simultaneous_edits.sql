-- Whether a lesson can be found depends on its module, too. Two who edited the lesson and the module at the same time did not see
-- what the other had not committed yet, so a lesson that was written while its module was being published could be missing from
-- searches until its next change. Now an edit of a lesson waits for that of its module, and the other way round. Lessons of the
-- same module may still be edited at the same time. The same goes for prompts and their categories.
SET LOCAL lock_timeout = '2s';

CREATE OR REPLACE FUNCTION index_for_search(of_kind search_kind, ids uuid[]) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    -- Each statement sees what was committed before it began, so those below see what this one has waited for.
    SELECT FROM course_modules
    WHERE of_kind = 'lesson' AND id = ANY (SELECT module_id FROM lessons WHERE id = ANY (ids)) ORDER BY id FOR SHARE;
    SELECT FROM prompt_categories
    WHERE of_kind = 'prompt' AND id = ANY (SELECT category_id FROM prompts WHERE id = ANY (ids)) ORDER BY id FOR SHARE;
    INSERT INTO search_changes DEFAULT VALUES;
    DELETE FROM search_postings WHERE object_id = ANY (ids) AND kind = of_kind;
    INSERT INTO search_postings (lexeme, kind, weight, object_id)
    SELECT w.lexeme, of_kind, 2.2 * w.frequency / (w.frequency + 1.2 * (0.25 + 0.75 * w.words / 100.0)), w.id
    FROM (
        SELECT s.id, l.lexeme,
            (SELECT sum(CASE p WHEN 'A' THEN 4 WHEN 'B' THEN 2 ELSE 1 END) FROM unnest(l.weights) p) AS frequency,
            length(v.vector) AS words
        FROM searchable s
        CROSS JOIN LATERAL (SELECT search_vector(s.title, s.about, s.text) AS vector OFFSET 0) v
        CROSS JOIN LATERAL unnest(v.vector) l
        WHERE s.kind = of_kind AND s.id = ANY (ids)
    ) w
    ORDER BY w.id, w.lexeme
    ON CONFLICT (object_id, kind, lexeme) DO UPDATE SET weight = excluded.weight;
    WITH passage AS MATERIALIZED (
        SELECT s.id, p.nth, p.content,
            md5(s.title || E'\n' || p.content || CASE p.nth WHEN 0 THEN E'\n' || s.about ELSE '' END)::uuid AS text_digest
        FROM searchable s
        CROSS JOIN LATERAL (
            SELECT 0 AS nth, s.title AS content
            UNION ALL
            SELECT nth, content FROM passages_of(s.text) WITH ORDINALITY AS p (content, nth)
        ) p
        WHERE s.kind = of_kind AND s.id = ANY (ids)
    ),
    written AS (
        INSERT INTO search_passages AS old (object_id, kind, nth, content, vector, text_digest)
        SELECT id, of_kind, nth, content, search_vector('', '', content), text_digest FROM passage
        ON CONFLICT (object_id, kind, nth) DO UPDATE
        SET content = excluded.content, vector = excluded.vector, text_digest = excluded.text_digest, created_at = now(),
            embedded_by = NULL, embedding = NULL, embedded_at = NULL
        WHERE old.text_digest IS DISTINCT FROM excluded.text_digest OR old.vector <> excluded.vector
    )
    DELETE FROM search_passages old
    WHERE object_id = ANY (ids) AND kind = of_kind
        AND NOT EXISTS (SELECT FROM passage p WHERE p.id = old.object_id AND p.nth = old.nth);
END;
