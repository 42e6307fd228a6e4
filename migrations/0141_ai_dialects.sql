-- How models want to be asked, and what attempts used even if they failed.
SET LOCAL lock_timeout = '2s';

-- What workers have learnt from refusals of an endpoint, so that each refusal costs one request, once.
CREATE TABLE ai_adjustments (
    -- The base URL, which contains no secret.
    endpoint text NOT NULL CHECK (length(endpoint) BETWEEN 1 AND 2000),
    model text NOT NULL CHECK (length(model) BETWEEN 1 AND 200),
    adjustment text NOT NULL CHECK (length(adjustment) BETWEEN 1 AND 50),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- After a while it is learnt again.
    learnt_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ai_adjustments_pkey PRIMARY KEY (endpoint, model, adjustment)
);

ALTER TABLE ai_reply_attempts
    ADD COLUMN thinking_tokens integer CONSTRAINT ai_reply_attempts_thinking_tokens_check CHECK (thinking_tokens >= 0),
    -- Whether a number of tokens was estimated, because the provider did not say it.
    ADD COLUMN is_estimate boolean NOT NULL DEFAULT false,
    -- The name under which the provider keeps the answer, while another attempt could go on with it.
    ADD COLUMN response_id text CONSTRAINT ai_reply_attempts_response_id_check CHECK (length(response_id) <= 500);
