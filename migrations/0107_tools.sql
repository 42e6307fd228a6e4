-- The AI tools. tool_chats and tool_messages are in production elsewhere and keep this shape, column for column, and their
-- rows. Everything else that a reply needs is in tables of its own.

CREATE TABLE IF NOT EXISTS tool_chats (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    UNIQUE (user_id, tool_type)
);
CREATE TABLE IF NOT EXISTS tool_messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    chat_id uuid NOT NULL REFERENCES tool_chats (id) ON DELETE CASCADE,
    role varchar(10) NOT NULL CHECK (role IN ('user', 'assistant')),
    content text NOT NULL,
    has_copyable_content boolean DEFAULT false,
    created_at timestamptz DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_tool_messages_chat_id ON tool_messages (chat_id);
-- Pages of a chat, newest first, in a total order.
CREATE INDEX IF NOT EXISTS tool_messages_page_idx ON tool_messages (chat_id, created_at DESC, id DESC);
-- Admins list chats by when they were last used, which adopted rows may lack.
UPDATE tool_chats SET updated_at = coalesce(created_at, now()) WHERE updated_at IS NULL;
CREATE INDEX tool_chats_updated_at_idx ON tool_chats (updated_at DESC, id DESC);
CREATE INDEX tool_chats_tool_type_idx ON tool_chats (tool_type, updated_at DESC, id DESC);
CREATE OR REPLACE TRIGGER touch_row BEFORE UPDATE ON tool_chats FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();

-- Versions of the tools' instructions. Only is_active ever changes, so a row needs no version of its own.
CREATE TABLE ai_system_instructions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    version integer NOT NULL CHECK (version > 0),
    content text NOT NULL CHECK (length(content) BETWEEN 1 AND 50000),
    model text CHECK (length(model) <= 200),                        -- null = the configured default
    -- Null = the model's own: some models accept no other.
    temperature double precision DEFAULT 0.7 CHECK (temperature BETWEEN 0 AND 2),
    max_tokens integer NOT NULL DEFAULT 1500 CHECK (max_tokens BETWEEN 16 AND 32000),
    -- Whether the model is told the learner's first name and place in the roadmap. Personal data goes out only when an
    -- admin says so.
    include_learner boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT false,
    created_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ai_system_instructions_version_key UNIQUE (tool_type, version)
);
-- One active version per tool, even when two admins activate versions at once.
CREATE UNIQUE INDEX ai_system_instructions_active_key ON ai_system_instructions (tool_type) WHERE is_active;
CREATE TRIGGER touch_row BEFORE UPDATE ON ai_system_instructions FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();

INSERT INTO ai_system_instructions (tool_type, version, content, is_active) VALUES
    ('assistant', 1, 'You are a mentor on a course platform. Answer the learner''s question briefly and concretely, from the given platform content where it helps, and name the lessons, prompts or terms you used.', true),
    ('tz_helper', 1, 'You turn an idea into a technical specification: goal, users, scope, screens, data, rules, acceptance criteria. Ask for what is missing. Put the finished specification between [SPEC_START] and [SPEC_END].', true),
    ('ideas', 1, 'You suggest small web projects that a learner can finish in a week. Put each finished idea between [IDEA_START] and [IDEA_END]: name, one sentence, who it is for, the three first steps.', true);

CREATE TYPE reply_state AS ENUM ('queued', 'streaming', 'completed', 'failed', 'cancelled');

-- One row per answer. queued → streaming → completed | failed(reason) | cancelled(reason).
CREATE TABLE ai_replies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    chat_id uuid NOT NULL REFERENCES tool_chats ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    question_id uuid REFERENCES tool_messages ON DELETE SET NULL,
    answer_id uuid REFERENCES tool_messages ON DELETE SET NULL,
    instruction_id uuid NOT NULL REFERENCES ai_system_instructions,    -- fixed when asked
    question text NOT NULL,                                           -- fixed when asked
    -- Fixed when asked: the platform content found for the question and, if the instruction asks for it, who the learner is
    -- and how far. Later edits change nothing.
    context jsonb NOT NULL DEFAULT '{}',
    state reply_state NOT NULL DEFAULT 'queued',
    attempt integer NOT NULL DEFAULT 0,   -- fencing token: a write of an older attempt changes nothing
    reason text CHECK (length(reason) <= 100),     -- code of the failure or cancellation
    provider text,
    model text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- When it was last asked for. A reply that waits for a provider is given up some time after this.
    queued_at timestamptz NOT NULL DEFAULT now(),
    -- When it was asked for again, besides created_at: each time counts as a question of its learner. Bounded, so that a
    -- reply that never succeeds does not grow.
    retried_at timestamptz[] NOT NULL DEFAULT '{}',
    started_at timestamptz,
    finished_at timestamptz,
    chunks_removed boolean NOT NULL DEFAULT false,  -- otherwise each clean-up would look at every reply there ever was
    CONSTRAINT ai_replies_finished_at CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled'))),
    CONSTRAINT ai_replies_reason CHECK ((reason IS NOT NULL) = (state IN ('failed', 'cancelled'))),
    CONSTRAINT ai_replies_answer CHECK (answer_id IS NULL OR state IN ('completed', 'cancelled')),
    CONSTRAINT ai_replies_retried_at CHECK (cardinality(retried_at) <= 20)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX ai_replies_open_key ON ai_replies (chat_id) WHERE state IN ('queued', 'streaming');
CREATE UNIQUE INDEX ai_replies_answer_key ON ai_replies (answer_id);
-- The quota counts questions that were asked, or asked again, lately.
CREATE INDEX ai_replies_user_idx ON ai_replies (user_id, queued_at DESC);
CREATE INDEX ai_replies_chat_idx ON ai_replies (chat_id, created_at DESC);
CREATE INDEX ai_replies_question_idx ON ai_replies (question_id);
-- Statistics of a period.
CREATE INDEX ai_replies_created_at_idx ON ai_replies (created_at);
CREATE INDEX ai_replies_stuck_idx ON ai_replies (updated_at) WHERE state IN ('queued', 'streaming');
-- Replies whose chunks are no longer needed: the text of completed and cancelled ones is a message, and that of failed
-- ones is kept for a while because it is nowhere else.
CREATE INDEX ai_replies_chunks_idx ON ai_replies (finished_at)
    WHERE state IN ('completed', 'failed', 'cancelled') AND NOT chunks_removed;
CREATE TRIGGER touch_row BEFORE UPDATE ON ai_replies FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();

CREATE TABLE ai_reply_attempts (
    reply_id uuid NOT NULL REFERENCES ai_replies ON DELETE CASCADE,
    attempt integer NOT NULL CHECK (attempt > 0),
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    provider text CHECK (length(provider) <= 300),
    model text CHECK (length(model) <= 200),
    -- Code of how it ended; null while it runs and when it completed the reply. `error` explains it to people.
    reason text CHECK (length(reason) <= 100),
    error text CHECK (length(error) <= 2000),
    -- From the start to the first piece of text. The whole time is finished_at - started_at.
    first_token_ms integer CHECK (first_token_ms >= 0),
    -- The answer was cut at the length that the instruction allows.
    is_cut boolean NOT NULL DEFAULT false,
    prompt_tokens integer CHECK (prompt_tokens >= 0),
    completion_tokens integer CHECK (completion_tokens >= 0),
    -- Millionths of the currency in which prices are configured; null if no price is.
    cost_micros bigint CHECK (cost_micros >= 0),
    CONSTRAINT ai_reply_attempts_pkey PRIMARY KEY (reply_id, attempt)
);

-- The text as it arrived, in order. Removed some time after the reply has ended.
CREATE TABLE ai_reply_chunks (
    reply_id uuid NOT NULL REFERENCES ai_replies ON DELETE CASCADE,
    attempt integer NOT NULL,
    seq integer NOT NULL CHECK (seq > 0),
    content text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ai_reply_chunks_pkey PRIMARY KEY (reply_id, attempt, seq)
);
