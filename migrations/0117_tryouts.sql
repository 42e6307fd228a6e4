-- Try-outs of instruction versions: an admin asks a question under any version, active or not, and reads the answer. There
-- is no chat, message or reply, so nothing counts towards quotas or statistics, and no learner sees it. Housekeeping removes
-- them after a day.

-- queued → running → completed | failed(reason).
CREATE TYPE tryout_state AS ENUM ('queued', 'running', 'completed', 'failed');

CREATE TABLE ai_tryouts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    instruction_id uuid NOT NULL REFERENCES ai_system_instructions,
    created_by uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    question text NOT NULL CHECK (length(question) BETWEEN 1 AND 100000),
    -- Fixed when asked, as in ai_replies.
    context jsonb NOT NULL DEFAULT '{}',
    state tryout_state NOT NULL DEFAULT 'queued',
    attempt integer NOT NULL DEFAULT 0,   -- fencing token: a write of an older attempt changes nothing
    -- The answer; of a try-out that failed, the part that was received.
    answer text,
    -- Code of why it failed. `error` is what the provider said.
    reason text CHECK (length(reason) <= 100),
    error text CHECK (length(error) <= 2000),
    provider text CHECK (length(provider) <= 300),
    model text CHECK (length(model) <= 200),
    is_cut boolean NOT NULL DEFAULT false,
    first_token_ms integer CHECK (first_token_ms >= 0),
    prompt_tokens integer CHECK (prompt_tokens >= 0),
    completion_tokens integer CHECK (completion_tokens >= 0),
    cost_micros bigint CHECK (cost_micros >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT ai_tryouts_finished_at CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed'))),
    CONSTRAINT ai_tryouts_reason CHECK ((reason IS NOT NULL) = (state = 'failed')),
    CONSTRAINT ai_tryouts_answer CHECK (state <> 'completed' OR answer IS NOT NULL)
);
CREATE INDEX ai_tryouts_instruction_idx ON ai_tryouts (instruction_id);
CREATE INDEX ai_tryouts_created_by_idx ON ai_tryouts (created_by);
-- The reconciler looks for those that wait too long, and housekeeping for old ones.
CREATE INDEX ai_tryouts_open_idx ON ai_tryouts (created_at) WHERE state IN ('queued', 'running');
CREATE INDEX ai_tryouts_created_at_idx ON ai_tryouts (created_at);
CREATE TRIGGER touch_row BEFORE UPDATE ON ai_tryouts FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row();
