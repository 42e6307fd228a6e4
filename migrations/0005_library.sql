-- The libraries beside the lessons: styles, glossary, prompts, and what a learner keeps of them.

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
    usage_count integer NOT NULL DEFAULT 0 CHECK (usage_count >= 0),
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX style_cards_slug_key ON style_cards (slug) WHERE deleted_at IS NULL;
CREATE INDEX style_cards_category_idx ON style_cards (category, position, id) WHERE deleted_at IS NULL;
CREATE TRIGGER set_updated_at BEFORE UPDATE ON style_cards FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE glossary_terms (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL,
    term text NOT NULL CHECK (length(term) BETWEEN 1 AND 200),
    definition text NOT NULL CHECK (length(definition) BETWEEN 1 AND 5000),
    tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 20),
    publication publication NOT NULL DEFAULT 'draft',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('russian', term), 'A') || setweight(to_tsvector('russian', definition), 'B')
    ) STORED
);
CREATE UNIQUE INDEX glossary_terms_slug_key ON glossary_terms (slug) WHERE deleted_at IS NULL;
CREATE INDEX glossary_terms_search_idx ON glossary_terms USING gin (search);
CREATE TRIGGER set_updated_at BEFORE UPDATE ON glossary_terms FOR EACH ROW EXECUTE FUNCTION set_updated_at('search');

-- Rows an admin manages; each carries one fixed kind, which programs can rely on.
CREATE TABLE prompt_categories (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug slug NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    kind prompt_category NOT NULL,
    color text NOT NULL DEFAULT '#64748b' CHECK (color ~ '^#[0-9a-f]{6}$'),
    position integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX prompt_categories_slug_key ON prompt_categories (slug) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX prompt_categories_name_key ON prompt_categories (lower(name)) WHERE deleted_at IS NULL;
CREATE TRIGGER set_updated_at BEFORE UPDATE ON prompt_categories FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE prompts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    category_id uuid NOT NULL REFERENCES prompt_categories,
    slug slug NOT NULL,
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 5000),
    body text NOT NULL CHECK (length(body) BETWEEN 1 AND 50000),
    tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 20),
    copy_count integer NOT NULL DEFAULT 0 CHECK (copy_count >= 0),
    position integer NOT NULL DEFAULT 0,
    publication publication NOT NULL DEFAULT 'draft',
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
CREATE TRIGGER set_updated_at BEFORE UPDATE ON prompts FOR EACH ROW EXECUTE FUNCTION set_updated_at('search');

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
CREATE TRIGGER set_updated_at BEFORE UPDATE ON prompt_steps FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE user_prompt_favorites (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    prompt_id uuid NOT NULL REFERENCES prompts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_prompt_favorites_pkey PRIMARY KEY (user_id, prompt_id)
);
CREATE INDEX user_prompt_favorites_prompt_id_idx ON user_prompt_favorites (prompt_id);
