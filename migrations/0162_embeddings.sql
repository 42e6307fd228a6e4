-- Where an endpoint for embeddings is configured, the worker keeps a vector of each passage, so that replies also find sources that
-- say the same in other words. Without one these columns stay empty.
--
-- A vector is stored with one signed byte for each dimension, because only its direction matters: a quarter of the space, and of
-- what a worker reads and keeps in memory.
SET LOCAL lock_timeout = '2s';

ALTER TABLE search_passages
    -- Of what a vector is made of: the title, the passage and, where the passage is the title itself, the summary.
    ADD COLUMN text_digest uuid,
    -- The model that was asked for a vector; NULL if none was since the text was changed.
    ADD COLUMN embedded_by text COLLATE "C",
    -- NULL if the model takes no such text.
    ADD COLUMN embedding bytea,
    ADD COLUMN embedded_at timestamptz;

-- allowed: it is made once, in less than a second for 400,000 passages, and only changes of content wait for it.
CREATE INDEX search_passages_embedded_idx ON search_passages (kind, embedded_by, embedded_at, object_id, nth);
INSERT INTO schedules (name) VALUES ('embed_passages');

-- Passages that are as before keep their vectors. Who indexes an object at the same time as somebody else does not see what the other
-- has written after its own statement began, and overwrites it instead of adding to it.
CREATE OR REPLACE FUNCTION index_for_search(of_kind search_kind, ids uuid[]) RETURNS void LANGUAGE sql
BEGIN ATOMIC
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
