-- What the operations on the libraries need: an alphabetical order of the glossary with categories, prompts that learners
-- may see in one view, and rules between prompts and their categories that hold for every writer.
SET LOCAL lock_timeout = '2s';

-- A text in lower case, to compare and sort names whatever their case. Not lower(), whose result depends on the locale of
-- the database: with the locale C it leaves Cyrillic letters as they are. This one knows ASCII, the letters of Western
-- European languages and Cyrillic. The letter ё counts as е, as in a dictionary.
CREATE FUNCTION folded(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT translate(lower($1 COLLATE "C"),
        'АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЀЂЃЄЅІЇЈЉЊЋЌЍЎЏҐÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞЁё',
        'абвгдежзийклмнопрстуфхцчшщъыьэюяѐђѓєѕіїјљњћќѝўџґàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþее')
$$;

-- The category is a plain name and not a row of a table of categories: it has no name, colour or order of its own. A fixed
-- list would not suit every school.
ALTER TABLE glossary_terms
    ADD COLUMN category slug,
    -- The beginning of the term, by which lists are sorted. It is cut so that it fits into the cursor of a page. Adding the
    -- column rewrites the table, which is short.
    ADD COLUMN sort_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (folded(left(ltrim(term), 60))) STORED;
-- The first letter is a range of the sort key, so one index serves the whole list and that of a letter.
CREATE INDEX glossary_terms_sort_key_idx ON glossary_terms (sort_key, id) WHERE deleted_at IS NULL;
CREATE INDEX glossary_terms_category_idx ON glossary_terms (category, sort_key, id) WHERE deleted_at IS NULL;
-- For admins, who list either the deleted terms or the others.
CREATE INDEX glossary_terms_deleted_idx ON glossary_terms ((deleted_at IS NOT NULL), sort_key, id);
DROP TRIGGER touch_row ON glossary_terms;
CREATE TRIGGER touch_row BEFORE UPDATE ON glossary_terms FOR EACH ROW WHEN (
    (OLD.id, OLD.slug, OLD.term, OLD.category, OLD.definition, OLD.tags, OLD.publication, OLD.version, OLD.created_at,
     OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.slug, NEW.term, NEW.category, NEW.definition, NEW.tags, NEW.publication, NEW.version, NEW.created_at,
     NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

-- Names that differ in case only are the same name in Cyrillic too.
DROP INDEX prompt_categories_name_key;
CREATE UNIQUE INDEX prompt_categories_name_key ON prompt_categories (folded(name)) WHERE deleted_at IS NULL;

CREATE INDEX prompts_position_idx ON prompts (position, id) WHERE deleted_at IS NULL;
CREATE INDEX prompts_deleted_idx ON prompts ((deleted_at IS NOT NULL), position, id);

-- Steps are put into another order by one statement, which a unique index would refuse at the first of two that change
-- places. Whoever edits steps holds the lock of their prompt.
DROP INDEX prompt_steps_position_key;
CREATE INDEX prompt_steps_prompt_id_idx ON prompt_steps (prompt_id, position, id) WHERE deleted_at IS NULL;

-- The steps of a prompt, in order.
CREATE FUNCTION prompt_steps_as_json(prompt uuid) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        jsonb_agg(jsonb_build_object('id', id, 'title', title, 'body', body) ORDER BY position, id), '[]'
    ) FROM prompt_steps WHERE prompt_id = prompt AND deleted_at IS NULL
$$;

-- A prompt that is not deleted belongs to a category that is not deleted. The lock makes whoever deletes the category wait
-- until the prompt is there to be counted. Existing prompts are checked only when they are moved or restored, and for
-- the latter the name is another, because there is no category to choose.
CREATE FUNCTION prompt_category_is_live() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM prompt_categories WHERE id = NEW.category_id AND deleted_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING
            MESSAGE = format('the category %s of prompt %s is deleted', NEW.category_id, NEW.id),
            CONSTRAINT = TG_ARGV[0];
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER category_is_live AFTER INSERT ON prompts FOR EACH ROW WHEN (NEW.deleted_at IS NULL)
    EXECUTE FUNCTION prompt_category_is_live('prompts_category_is_live');
CREATE TRIGGER moved_to_live_category AFTER UPDATE ON prompts FOR EACH ROW
    WHEN (NEW.deleted_at IS NULL AND OLD.category_id <> NEW.category_id)
    EXECUTE FUNCTION prompt_category_is_live('prompts_category_is_live');
CREATE TRIGGER restored_to_live_category AFTER UPDATE ON prompts FOR EACH ROW
    WHEN (NEW.deleted_at IS NULL AND OLD.deleted_at IS NOT NULL AND OLD.category_id = NEW.category_id)
    EXECUTE FUNCTION prompt_category_is_live('prompts_restored_category_is_live');

-- The one definition of which prompts learners may see. It leaves out the columns of the search, so that these can change.
CREATE VIEW visible_prompts AS
    SELECT p.id, p.category_id, p.slug, p.title, p.description, p.body, p.tags, p.copy_count, p.position, p.version,
        p.created_at, p.updated_at
    FROM prompts p
    JOIN prompt_categories c ON c.id = p.category_id
    WHERE p.deleted_at IS NULL AND p.publication = 'published' AND c.deleted_at IS NULL;

-- Whether a prompt is a user's favorite is then one entry of either index, however many users have it.
DROP INDEX user_prompt_favorites_prompt_id_idx;
CREATE INDEX user_prompt_favorites_prompt_id_idx ON user_prompt_favorites (prompt_id, user_id);
-- For the list of a user's favorites, the latest first.
CREATE INDEX user_prompt_favorites_user_id_idx ON user_prompt_favorites (user_id, created_at DESC, prompt_id DESC);
