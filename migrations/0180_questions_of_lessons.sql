-- Learners ask in words that no lesson contains ("on my phone everything is tiny"). Authors can write down, with each lesson, the
-- questions that it answers, as learners put them: for instance those that admins see as unanswered. Searches find the lesson by
-- them as well, by words and by meaning, and nobody is shown them but admins.
SET LOCAL lock_timeout = '2s';

-- allowed: there are few lessons, and the constraint holds for all of them.
ALTER TABLE lessons ADD COLUMN questions text[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT lessons_questions_check CHECK (cardinality(questions) <= 30);

DROP TRIGGER touch_row ON lessons;
CREATE TRIGGER touch_row BEFORE UPDATE ON lessons FOR EACH ROW WHEN (
    (OLD.id, OLD.module_id, OLD.slug, OLD.title, OLD.summary, OLD.body, OLD.video_url, OLD.duration_minutes, OLD.questions,
     OLD.completion, OLD.position, OLD.publication, OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.module_id, NEW.slug, NEW.title, NEW.summary, NEW.body, NEW.video_url, NEW.duration_minutes, NEW.questions,
     NEW.completion, NEW.position, NEW.publication, NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

DROP TRIGGER index_changed ON lessons;
CREATE TRIGGER index_changed AFTER UPDATE ON lessons FOR EACH ROW
    WHEN ((OLD.title, OLD.summary, OLD.body, OLD.questions, OLD.publication, OLD.deleted_at, OLD.module_id)
        IS DISTINCT FROM (NEW.title, NEW.summary, NEW.body, NEW.questions, NEW.publication, NEW.deleted_at, NEW.module_id))
    EXECUTE FUNCTION index_changed_object('lesson');

CREATE OR REPLACE VIEW visible_lessons AS
SELECT l.id, l.module_id, l.slug, l.title, l.summary, l.body, l.video_url, l.duration_minutes, l.completion, l.position,
    l.publication, l.version, l.created_at, l.updated_at, l.deleted_at, l.search, l.questions
FROM lessons l JOIN course_modules m ON m.id = l.module_id
WHERE l.deleted_at IS NULL AND l.publication = 'published' AND m.deleted_at IS NULL AND m.publication = 'published';

CREATE OR REPLACE VIEW searchable AS
SELECT 'lesson'::search_kind AS kind, id, slug::text AS slug, title, summary AS about, body AS text, questions
FROM visible_lessons
UNION ALL
SELECT 'prompt', id, slug, title, coalesce(nullif(description, ''), left(body, 500)), body, '{}'
FROM visible_prompts
UNION ALL
SELECT 'glossary_term', id, slug, term, definition, '', '{}'
FROM glossary_terms WHERE publication = 'published' AND deleted_at IS NULL
UNION ALL
SELECT 'style_card', id, slug, title, description, array_to_string(tags, ' ') || ' ' || prompt, '{}'
FROM style_cards WHERE publication = 'published' AND deleted_at IS NULL
UNION ALL
SELECT 'project', id, id::text, title, summary, description, '{}'
FROM showcase_projects WHERE status = 'published' AND deleted_at IS NULL;

-- Questions are passages with the numbers -1, -2 and so on. Like the title, they are found but not quoted.
ALTER TABLE search_passages DROP CONSTRAINT search_passages_nth_check;

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
        CROSS JOIN LATERAL (
            SELECT search_vector(s.title, s.about, s.text || E'\n' || array_to_string(s.questions, E'\n')) AS vector OFFSET 0
        ) v
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
            UNION ALL
            SELECT -nth, content FROM unnest(s.questions) WITH ORDINALITY AS q (content, nth)
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
