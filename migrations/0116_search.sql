-- One index of words over everything that learners search: lessons, prompts, glossary terms, style cards and projects.
--
-- Postgres' own ranking does not know how rare a word is, and has to read every matching row to order them. This index is
-- what search engines keep instead: for each word the objects that contain it, the best first, so that a query reads the
-- heads of a few lists however many objects match. Ranking is BM25 (Robertson and Zaragoza, The Probabilistic Relevance
-- Framework, 2009) with k1 = 1.2, b = 0.75 and weighted fields (BM25F): a word in a title counts four times, in a summary
-- twice.

-- For words that are spelled similarly. Its distance of letters works in every locale; trigrams know only ASCII in some.
CREATE EXTENSION IF NOT EXISTS fuzzystrmatch WITH SCHEMA public;

CREATE TYPE search_kind AS ENUM ('lesson', 'prompt', 'glossary_term', 'style_card', 'project');

-- Everything that can be found now. `about` is shown in results, so it is nothing that may be withheld: the body of a lesson
-- can be locked, and is only searched.
CREATE VIEW searchable AS
    SELECT 'lesson'::search_kind AS kind, id, slug::text AS slug, title, summary AS about, body AS text FROM visible_lessons
    UNION ALL
    SELECT 'prompt', id, slug, title, coalesce(nullif(description, ''), left(body, 500)), body FROM visible_prompts
    UNION ALL
    SELECT 'glossary_term', id, slug, term, definition, ''
    FROM glossary_terms WHERE publication = 'published' AND deleted_at IS NULL
    UNION ALL
    SELECT 'style_card', id, slug, title, description, array_to_string(tags, ' ') || ' ' || prompt
    FROM style_cards WHERE publication = 'published' AND deleted_at IS NULL
    UNION ALL
    SELECT 'project', id, id::text, title, summary, description
    FROM showcase_projects WHERE status = 'published' AND deleted_at IS NULL;

-- The configuration stems Cyrillic words as Russian and Latin words as English. Letters are folded first, because in some
-- locales Postgres lower-cases only ASCII.
CREATE FUNCTION search_vector(title text, about text, body text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT setweight(to_tsvector('russian', folded(title)), 'A') || setweight(to_tsvector('russian', folded(about)), 'B')
        || setweight(to_tsvector('russian', folded(body)), 'C')
$$;

CREATE TABLE search_postings (
    lexeme text COLLATE "C" NOT NULL,
    kind search_kind NOT NULL,
    -- The part of the score that depends on the object only: how often the word occurs, where, and in how long a text.
    weight real NOT NULL,
    object_id uuid NOT NULL
);
CREATE INDEX search_postings_lexeme_idx ON search_postings (lexeme, kind, weight DESC) INCLUDE (object_id);
CREATE INDEX search_postings_object_idx ON search_postings (object_id);

-- The words of the index, and in how many objects each occurs; the empty word stands for all objects. Counted by the worker,
-- because a number that every change updates would make changes wait for each other. A word that is not counted yet is
-- taken as rare.
CREATE TABLE search_lexemes (
    lexeme text COLLATE "C" PRIMARY KEY,
    objects integer NOT NULL CHECK (objects > 0)
);

-- Says that the words have to be counted again. Rows are only added and removed, so nobody waits for anybody.
CREATE TABLE search_changes (at timestamptz NOT NULL DEFAULT now());

-- Writes the postings of these objects anew; those that cannot be found now have none.
CREATE FUNCTION index_for_search(of_kind search_kind, ids uuid[]) RETURNS void LANGUAGE sql
AS $$
    INSERT INTO search_changes DEFAULT VALUES;
    DELETE FROM search_postings WHERE object_id = ANY (ids) AND kind = of_kind;
    INSERT INTO search_postings (lexeme, kind, weight, object_id)
    SELECT w.lexeme, of_kind, 2.2 * w.frequency / (w.frequency + 1.2 * (0.25 + 0.75 * w.words / 100.0)), w.id
    FROM (
        SELECT s.id, l.lexeme,
            (SELECT sum(CASE p WHEN 'A' THEN 4 WHEN 'B' THEN 2 ELSE 1 END) FROM unnest(l.weights) p) AS frequency,
            length(v.vector) AS words
        FROM searchable s
        CROSS JOIN LATERAL (SELECT search_vector(s.title, s.about, s.text) AS vector) v
        CROSS JOIN LATERAL unnest(v.vector) l
        WHERE s.kind = of_kind AND s.id = ANY (ids)
    ) w
$$;

-- TG_ARGV[0] is the kind. Many rows may be added or removed at once, and are indexed together.
CREATE FUNCTION index_changed_rows() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    ids uuid[] := array(SELECT id FROM changed_rows);
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM index_for_search(TG_ARGV[0]::search_kind, ids);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION index_changed_object() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM index_for_search(TG_ARGV[0]::search_kind, ARRAY[NEW.id]);
    RETURN NULL;
END;
$$;

CREATE FUNCTION index_lessons_of_module() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM index_for_search('lesson', array(SELECT id FROM lessons WHERE module_id = NEW.id));
    RETURN NULL;
END;
$$;

CREATE FUNCTION index_prompts_of_category() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM index_for_search('prompt', array(SELECT id FROM prompts WHERE category_id = NEW.id));
    RETURN NULL;
END;
$$;

CREATE TRIGGER index_added AFTER INSERT ON lessons REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('lesson');
CREATE TRIGGER index_removed AFTER DELETE ON lessons REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('lesson');
CREATE TRIGGER index_changed AFTER UPDATE ON lessons FOR EACH ROW
    WHEN ((OLD.title, OLD.summary, OLD.body, OLD.publication, OLD.deleted_at, OLD.module_id)
        IS DISTINCT FROM (NEW.title, NEW.summary, NEW.body, NEW.publication, NEW.deleted_at, NEW.module_id))
    EXECUTE FUNCTION index_changed_object('lesson');
CREATE TRIGGER index_lessons AFTER UPDATE ON course_modules FOR EACH ROW
    WHEN ((OLD.publication, OLD.deleted_at) IS DISTINCT FROM (NEW.publication, NEW.deleted_at))
    EXECUTE FUNCTION index_lessons_of_module();

CREATE TRIGGER index_added AFTER INSERT ON prompts REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('prompt');
CREATE TRIGGER index_removed AFTER DELETE ON prompts REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('prompt');
CREATE TRIGGER index_changed AFTER UPDATE ON prompts FOR EACH ROW
    WHEN ((OLD.title, OLD.description, OLD.body, OLD.publication, OLD.deleted_at, OLD.category_id)
        IS DISTINCT FROM (NEW.title, NEW.description, NEW.body, NEW.publication, NEW.deleted_at, NEW.category_id))
    EXECUTE FUNCTION index_changed_object('prompt');
CREATE TRIGGER index_prompts AFTER UPDATE ON prompt_categories FOR EACH ROW
    WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
    EXECUTE FUNCTION index_prompts_of_category();

CREATE TRIGGER index_added AFTER INSERT ON glossary_terms REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('glossary_term');
CREATE TRIGGER index_removed AFTER DELETE ON glossary_terms REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('glossary_term');
CREATE TRIGGER index_changed AFTER UPDATE ON glossary_terms FOR EACH ROW
    WHEN ((OLD.term, OLD.definition, OLD.publication, OLD.deleted_at)
        IS DISTINCT FROM (NEW.term, NEW.definition, NEW.publication, NEW.deleted_at))
    EXECUTE FUNCTION index_changed_object('glossary_term');

CREATE TRIGGER index_added AFTER INSERT ON style_cards REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('style_card');
CREATE TRIGGER index_removed AFTER DELETE ON style_cards REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('style_card');
CREATE TRIGGER index_changed AFTER UPDATE ON style_cards FOR EACH ROW
    WHEN ((OLD.title, OLD.description, OLD.prompt, OLD.tags, OLD.publication, OLD.deleted_at)
        IS DISTINCT FROM (NEW.title, NEW.description, NEW.prompt, NEW.tags, NEW.publication, NEW.deleted_at))
    EXECUTE FUNCTION index_changed_object('style_card');

CREATE TRIGGER index_added AFTER INSERT ON showcase_projects REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('project');
CREATE TRIGGER index_removed AFTER DELETE ON showcase_projects REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION index_changed_rows('project');
CREATE TRIGGER index_changed AFTER UPDATE ON showcase_projects FOR EACH ROW
    WHEN ((OLD.title, OLD.summary, OLD.description, OLD.status, OLD.deleted_at)
        IS DISTINCT FROM (NEW.title, NEW.summary, NEW.description, NEW.status, NEW.deleted_at))
    EXECUTE FUNCTION index_changed_object('project');

-- How many objects there are, and in how many each word occurs.
CREATE FUNCTION count_search_lexemes() RETURNS void LANGUAGE sql
AS $$
    INSERT INTO search_lexemes (lexeme, objects)
    SELECT lexeme, count(*) FROM search_postings GROUP BY lexeme
    UNION ALL
    SELECT '', count(DISTINCT object_id) FROM search_postings HAVING count(*) > 0
    ORDER BY 1
    ON CONFLICT (lexeme) DO UPDATE SET objects = excluded.objects WHERE search_lexemes.objects <> excluded.objects;
    DELETE FROM search_lexemes l WHERE l.lexeme <> '' AND NOT EXISTS (SELECT FROM search_postings p WHERE p.lexeme = l.lexeme);
$$;

-- What is there already.
DO $$
DECLARE
    of_kind search_kind;
BEGIN
    FOREACH of_kind IN ARRAY enum_range(NULL::search_kind) LOOP
        PERFORM index_for_search(of_kind, array(SELECT id FROM searchable WHERE kind = of_kind));
    END LOOP;
END;
$$;
SELECT count_search_lexemes();
INSERT INTO schedules (name) VALUES ('count_search_terms');
