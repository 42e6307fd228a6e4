-- The libraries beside the lessons: styles, glossary and prompts, what a learner keeps of them, and how often they are used.

CREATE TYPE style_category AS ENUM ('minimal', 'editorial', 'brutalist', 'playful', 'corporate', 'retro', 'futuristic', 'organic');
CREATE TYPE prompt_category AS ENUM ('planning', 'research', 'design', 'frontend', 'backend', 'content', 'debugging', 'deployment');

CREATE TABLE style_cards (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    category style_category NOT NULL,
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 5000),
    prompt text NOT NULL DEFAULT '' CHECK (length(prompt) <= 20000),
    tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 20),
    preview_url https_url,
    usage_count integer NOT NULL DEFAULT 0 CHECK (usage_count >= 0),   -- derived from library_daily_uses
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX style_cards_slug_key ON style_cards (slug) WHERE deleted_at IS NULL;
CREATE INDEX style_cards_category_idx ON style_cards (category, position, id) WHERE deleted_at IS NULL;
-- Not usage_count.
CREATE TRIGGER touch_row BEFORE UPDATE ON style_cards FOR EACH ROW WHEN (
    (OLD.id, OLD.slug, OLD.title, OLD.category, OLD.description, OLD.prompt, OLD.tags, OLD.preview_url, OLD.position,
     OLD.publication, OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.slug, NEW.title, NEW.category, NEW.description, NEW.prompt, NEW.tags, NEW.preview_url, NEW.position,
     NEW.publication, NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

CREATE TABLE glossary_terms (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL,
    term text NOT NULL CHECK (length(term) BETWEEN 1 AND 200),
    definition text NOT NULL CHECK (length(definition) BETWEEN 1 AND 5000),
    tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 20),
    publication publication NOT NULL DEFAULT 'draft',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('russian', term), 'A') || setweight(to_tsvector('russian', definition), 'B')
    ) STORED
);
CREATE UNIQUE INDEX glossary_terms_slug_key ON glossary_terms (slug) WHERE deleted_at IS NULL;
CREATE INDEX glossary_terms_search_idx ON glossary_terms USING gin (search);
CREATE TRIGGER touch_row BEFORE UPDATE ON glossary_terms FOR EACH ROW WHEN (
    (OLD.id, OLD.slug, OLD.term, OLD.definition, OLD.tags, OLD.publication, OLD.version, OLD.created_at,
     OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.slug, NEW.term, NEW.definition, NEW.tags, NEW.publication, NEW.version, NEW.created_at,
     NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

-- Admins manage these rows. Each has one of a fixed set of kinds, which programs can rely on.
CREATE TABLE prompt_categories (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    kind prompt_category NOT NULL,
    color text NOT NULL DEFAULT '#64748b' CHECK (color ~ '^#[0-9a-f]{6}$'),
    position integer NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX prompt_categories_slug_key ON prompt_categories (slug) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX prompt_categories_name_key ON prompt_categories (lower(name)) WHERE deleted_at IS NULL;
CREATE TRIGGER touch_row BEFORE UPDATE ON prompt_categories FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row('version');

CREATE TABLE prompts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    category_id uuid NOT NULL REFERENCES prompt_categories,
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 5000),
    body text NOT NULL CHECK (length(body) BETWEEN 1 AND 50000),
    tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 20),
    copy_count integer NOT NULL DEFAULT 0 CHECK (copy_count >= 0),     -- derived from library_daily_uses
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('russian', title), 'A')
        || setweight(to_tsvector('russian', description), 'B')
        || setweight(to_tsvector('russian', body), 'C')
    ) STORED
);
CREATE UNIQUE INDEX prompts_slug_key ON prompts (slug) WHERE deleted_at IS NULL;
CREATE INDEX prompts_category_id_idx ON prompts (category_id, position, id) WHERE deleted_at IS NULL;
CREATE INDEX prompts_search_idx ON prompts USING gin (search);
-- Not copy_count.
CREATE TRIGGER touch_row BEFORE UPDATE ON prompts FOR EACH ROW WHEN (
    (OLD.id, OLD.category_id, OLD.slug, OLD.title, OLD.description, OLD.body, OLD.tags, OLD.position, OLD.publication,
     OLD.version, OLD.created_at, OLD.updated_at, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.id, NEW.category_id, NEW.slug, NEW.title, NEW.description, NEW.body, NEW.tags, NEW.position, NEW.publication,
     NEW.version, NEW.created_at, NEW.updated_at, NEW.deleted_at)
) EXECUTE FUNCTION touch_row('version');

CREATE TABLE prompt_steps (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    prompt_id uuid NOT NULL REFERENCES prompts ON DELETE CASCADE,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    body text NOT NULL CHECK (length(body) BETWEEN 1 AND 20000),
    position integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX prompt_steps_position_key ON prompt_steps (prompt_id, position) WHERE deleted_at IS NULL;
CREATE TRIGGER touch_row BEFORE UPDATE ON prompt_steps FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();

CREATE TABLE user_prompt_favorites (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    prompt_id uuid NOT NULL REFERENCES prompts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_prompt_favorites_pkey PRIMARY KEY (user_id, prompt_id)
);
CREATE INDEX user_prompt_favorites_prompt_id_idx ON user_prompt_favorites (prompt_id);

-- How often style cards are used and prompts are copied.
--
--   a use ──► library_uses ──roll_up_uses──► library_daily_uses ──sum──► style_cards.usage_count, prompts.copy_count
--
-- A use is one inserted row: no row is shared, so uses of a popular item never wait for each other or for an editor. The
-- worker moves the rows into one row per item and day, and deletes them in the statement that adds them up, so each use is
-- counted once, however often a job is repeated or killed. The stored count is the sum over the days: it is recomputed and
-- not incremented, it costs a few hundred rows even after ten million uses, and `verify` computes the same sum.
--
-- In the worker:
--   * Whoever records a use enqueues a roll-up of the item if the item has no other row in library_uses. Otherwise a job
--     is waiting already. A use that commits while that job runs, and is not seen by it, is left to the reconciler.
--   * The job calls roll_up_uses in a transaction of its own, again while it returns 10000.
--   * The reconciler enqueues a roll-up of the items that have rows older than a few seconds. It also finds rows that were
--     inserted by hand.
CREATE TYPE library_item_kind AS ENUM ('style_card', 'prompt');

-- Uses that have not been counted yet; usually almost empty. There is no foreign key to the item: it would lock the item's
-- row for each use. Who used it is in the activity log.
CREATE TABLE library_uses (
    item_kind library_item_kind NOT NULL,
    item_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    used_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT library_uses_pkey PRIMARY KEY (item_kind, item_id, id)
) WITH (
    -- Every row is deleted soon.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Uses that have been counted, by day in UTC.
CREATE TABLE library_daily_uses (
    item_kind library_item_kind NOT NULL,
    item_id uuid NOT NULL,
    day date NOT NULL,
    uses bigint NOT NULL CHECK (uses > 0),
    CONSTRAINT library_daily_uses_pkey PRIMARY KEY (item_kind, item_id, day)
) WITH (fillfactor = 70);

-- Counts up to 10,000 waiting uses of an item and stores the item's new count. Returns how many uses it counted.
--
-- The item's row is locked first, so roll-ups of one item run one after the other, and each statement below begins after
-- the previous roll-up has committed: the sum contains all its days. The item is the only shared row that is locked, so
-- there is no deadlock with an import or a reordering, which lock many items. Recording a use waits for none of this.
CREATE FUNCTION roll_up_uses(kind library_item_kind, item uuid) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    counted integer;
    total bigint;
BEGIN
    IF kind = 'style_card' THEN
        PERFORM FROM style_cards WHERE id = item FOR NO KEY UPDATE;
    ELSE
        PERFORM FROM prompts WHERE id = item FOR NO KEY UPDATE;
    END IF;
    IF NOT FOUND THEN
        -- Used and deleted at the same time: there is nothing left to count for.
        DELETE FROM library_uses WHERE item_kind = kind AND item_id = item;
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM library_uses
        WHERE item_kind = kind AND item_id = item AND id IN (
            SELECT id FROM library_uses WHERE item_kind = kind AND item_id = item ORDER BY id LIMIT 10000
        )
        RETURNING (used_at AT TIME ZONE 'UTC')::date AS day
    ), added AS (
        INSERT INTO library_daily_uses AS d (item_kind, item_id, day, uses)
        SELECT kind, item, day, count(*) FROM taken GROUP BY day
        ON CONFLICT (item_kind, item_id, day) DO UPDATE SET uses = d.uses + excluded.uses
    )
    SELECT count(*) INTO counted FROM taken;
    SELECT coalesce(sum(uses), 0) INTO total FROM library_daily_uses WHERE item_kind = kind AND item_id = item;
    IF kind = 'style_card' THEN
        UPDATE style_cards SET usage_count = total WHERE id = item AND usage_count <> total;
    ELSE
        UPDATE prompts SET copy_count = total WHERE id = item AND copy_count <> total;
    END IF;
    RETURN counted;
END;
$$;

-- The uses of an item go with its row. (Admins delete items by setting deleted_at, which keeps both.)
CREATE FUNCTION remove_uses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM library_uses WHERE item_kind = TG_ARGV[0]::library_item_kind AND item_id = OLD.id;
    DELETE FROM library_daily_uses WHERE item_kind = TG_ARGV[0]::library_item_kind AND item_id = OLD.id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER remove_uses AFTER DELETE ON style_cards FOR EACH ROW EXECUTE FUNCTION remove_uses('style_card');
CREATE TRIGGER remove_uses AFTER DELETE ON prompts FOR EACH ROW EXECUTE FUNCTION remove_uses('prompt');
