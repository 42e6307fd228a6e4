-- Evaluations of instructions: stored questions with what a good answer contains, and runs that ask each of them under two versions
-- side by side. A version is not activated while it does worse than the active one in an evaluation that is attached.
SET LOCAL lock_timeout = '2s';

CREATE TABLE ai_evaluations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    -- Whether the tool's versions must pass it before they are activated.
    is_attached boolean NOT NULL DEFAULT false,
    -- [{question, contains: […], excludes: […]}], edited as a whole.
    cases jsonb NOT NULL CHECK (jsonb_typeof(cases) = 'array' AND jsonb_array_length(cases) BETWEEN 1 AND 50),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX ai_evaluations_name_key ON ai_evaluations (tool_type, name) WHERE deleted_at IS NULL;
CREATE INDEX ai_evaluations_list_idx ON ai_evaluations (id);
CREATE TRIGGER touch_row BEFORE UPDATE ON ai_evaluations FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_row('version');

-- running → completed | failed(reason).
CREATE TYPE evaluation_state AS ENUM ('running', 'completed', 'failed');

CREATE TABLE ai_evaluation_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    evaluation_id uuid NOT NULL REFERENCES ai_evaluations,
    -- Fixed when it began: later edits of the evaluation change nothing.
    cases jsonb NOT NULL,
    candidate_id uuid NOT NULL REFERENCES ai_system_instructions,
    baseline_id uuid NOT NULL REFERENCES ai_system_instructions,
    state evaluation_state NOT NULL DEFAULT 'running',
    reason text CHECK (length(reason) <= 100),
    -- How many cases each version passed; null until the end.
    candidate_passed integer CHECK (candidate_passed >= 0),
    baseline_passed integer CHECK (baseline_passed >= 0),
    created_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT ai_evaluation_runs_finished_at CHECK ((finished_at IS NOT NULL) = (state <> 'running')),
    CONSTRAINT ai_evaluation_runs_passed CHECK (
        num_nonnulls(candidate_passed, baseline_passed) = CASE state WHEN 'completed' THEN 2 ELSE 0 END),
    CONSTRAINT ai_evaluation_runs_reason CHECK ((reason IS NOT NULL) = (state = 'failed'))
);
-- One at a time, so that learners do not wait for runs.
CREATE UNIQUE INDEX ai_evaluation_runs_open_key ON ai_evaluation_runs (evaluation_id) WHERE state = 'running';
CREATE INDEX ai_evaluation_runs_evaluation_idx ON ai_evaluation_runs (evaluation_id, id DESC);
CREATE INDEX ai_evaluation_runs_candidate_idx ON ai_evaluation_runs (candidate_id);
CREATE INDEX ai_evaluation_runs_baseline_idx ON ai_evaluation_runs (baseline_id);
CREATE INDEX ai_evaluation_runs_created_by_idx ON ai_evaluation_runs (created_by);

-- The answers of a run. They are asked like try-outs, one after the other, and belong to the platform.
CREATE TABLE ai_evaluation_answers (
    run_id uuid NOT NULL REFERENCES ai_evaluation_runs ON DELETE CASCADE,
    -- From 1, in the order of the cases.
    number integer NOT NULL CHECK (number BETWEEN 1 AND 50),
    is_candidate boolean NOT NULL,
    -- What was found for the question when it was first asked, the same for both versions; null before.
    context jsonb,
    attempt integer NOT NULL DEFAULT 0,   -- fencing token: a write of an older attempt changes nothing
    answer text,
    is_passed boolean,
    prompt_tokens integer CHECK (prompt_tokens >= 0),
    completion_tokens integer CHECK (completion_tokens >= 0),
    is_estimate boolean NOT NULL DEFAULT false,
    cost_micros bigint CHECK (cost_micros >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT ai_evaluation_answers_pkey PRIMARY KEY (run_id, number, is_candidate),
    CONSTRAINT ai_evaluation_answers_passed CHECK (is_passed IS NULL OR finished_at IS NOT NULL)
);

-- What runs cost counts for the tool and the platform, as with try-outs.
CREATE FUNCTION sum_ai_evaluations() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM change_ai_spending(NULL,
        (SELECT e.tool_type FROM ai_evaluation_runs r JOIN ai_evaluations e ON e.id = r.evaluation_id WHERE r.id = NEW.run_id),
        (now() AT TIME ZONE 'UTC')::date,
        coalesce(NEW.prompt_tokens, 0)::bigint + coalesce(NEW.completion_tokens, 0)
            - coalesce(OLD.prompt_tokens, 0) - coalesce(OLD.completion_tokens, 0),
        coalesce(NEW.cost_micros, 0) - coalesce(OLD.cost_micros, 0), 0, 0);
    RETURN NULL;
END;
$$;
CREATE TRIGGER sum_spending AFTER UPDATE OF prompt_tokens, completion_tokens, cost_micros ON ai_evaluation_answers FOR EACH ROW
    WHEN ((OLD.prompt_tokens, OLD.completion_tokens, OLD.cost_micros)
        IS DISTINCT FROM (NEW.prompt_tokens, NEW.completion_tokens, NEW.cost_micros))
    EXECUTE FUNCTION sum_ai_evaluations();

-- When a version was last activated, for the way back; null if it never was, or if it was rolled back.
ALTER TABLE ai_system_instructions ADD COLUMN activated_at timestamptz;
-- allowed: one row for each tool
UPDATE ai_system_instructions SET activated_at = created_at WHERE is_active;
