-- What the worker needs to write a reply through a provider.

ALTER TABLE ai_replies
    -- Fixed when asked, like the question and the instruction: the platform content found for it and, where the
    -- instruction asks for it, who the learner is and how far. Later edits change nothing.
    ADD COLUMN context jsonb NOT NULL DEFAULT '{}',
    -- When it was asked for, or asked for again: whoever waits for a provider gives up some time after it.
    ADD COLUMN queued_at timestamptz NOT NULL DEFAULT now();

ALTER TABLE ai_system_instructions
    -- Whether the model is told the learner's first name and place in the roadmap. Personal data goes out only when an
    -- admin says so.
    ADD COLUMN include_learner boolean NOT NULL DEFAULT false,
    -- Null = the model's own: some models accept no other.
    ALTER COLUMN temperature DROP NOT NULL;

ALTER TABLE ai_reply_attempts
    ADD COLUMN provider text CHECK (length(provider) <= 300),
    ADD COLUMN model text CHECK (length(model) <= 200),
    -- Code of how it ended, null while it runs and when it completed the reply; `error` says more, to people.
    ADD COLUMN reason text CHECK (length(reason) <= 100),
    -- From the start to the first piece of text. The whole time is finished_at - started_at.
    ADD COLUMN first_token_ms integer CHECK (first_token_ms >= 0),
    -- The answer ended because it was as long as the instruction allows.
    ADD COLUMN is_cut boolean NOT NULL DEFAULT false,
    -- Millionths of the currency in which prices are configured; null where no price is.
    ADD COLUMN cost_micros bigint CHECK (cost_micros >= 0);
