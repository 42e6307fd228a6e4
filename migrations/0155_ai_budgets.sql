-- Budgets of the AI tools: what was spent, what is reserved for replies that are being written, and which budgets admins were
-- warned about. The budgets themselves are the setting `ai.budgets`. Days and months are those of UTC.
--
-- A budget has to be exact at the moment in which a question is admitted, so the sums are changed in the transaction of their
-- cause, by triggers, whoever writes: a worker, an API, the reconciler, SQL typed by hand. They are not computed again from the
-- attempts, because what was paid stays paid when a learner deletes their account; `cairn verify` compares the two as far as the
-- attempts are still there.
SET LOCAL lock_timeout = '2s';

-- What the workers say of the models that they ask, so that everybody can tell what a reply may cost. A worker replaces the rows
-- when it starts.
CREATE TABLE ai_models (
    model text PRIMARY KEY CHECK (length(model) BETWEEN 1 AND 200),
    -- The model of instructions that name none.
    is_default boolean NOT NULL DEFAULT false,
    -- Of a million tokens, which are millionths of the currency for each token; null if no price is configured.
    input_price double precision CHECK (input_price >= 0),
    output_price double precision CHECK (output_price >= 0),
    -- The most tokens of a request and its answer.
    context_tokens bigint NOT NULL CHECK (context_tokens > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What these tokens cost, in millionths of the currency; null if the price or a number is not known.
CREATE FUNCTION ai_cost(of_model text, prompt bigint, completion bigint) RETURNS bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(m.input_price * prompt + m.output_price * completion)::bigint
    FROM ai_models m WHERE CASE WHEN of_model IS NULL THEN m.is_default ELSE m.model = of_model END
    LIMIT 1;
END;

-- The tokens of the text that an attempt has stored, at four characters each: all that is known of one whose worker was lost.
CREATE FUNCTION ai_stored_tokens(of_reply uuid, of_attempt integer) RETURNS integer LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT ceil(coalesce(sum(length(k.content)), 0) / 4.0)::integer
    FROM ai_reply_chunks k WHERE k.reply_id = of_reply AND k.attempt = of_attempt;
END;

-- What one learner spent on a day. `cost_micros` is in millionths of the currency in which prices are configured.
CREATE TABLE ai_learner_spending (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    day date NOT NULL,
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    tokens bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    cost_micros bigint NOT NULL DEFAULT 0 CHECK (cost_micros >= 0),
    reserved_tokens bigint NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
    reserved_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ai_learner_spending_pkey PRIMARY KEY (user_id, day, tool_type)
);
-- For admins, who are shown the learners that spent most.
CREATE INDEX ai_learner_spending_day_idx ON ai_learner_spending (day);

-- What all of them, and the try-outs of admins, spent on a day: at most three rows a day.
CREATE TABLE ai_spending (
    day date NOT NULL,
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    tokens bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    cost_micros bigint NOT NULL DEFAULT 0 CHECK (cost_micros >= 0),
    reserved_tokens bigint NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
    reserved_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_micros >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ai_spending_pkey PRIMARY KEY (day, tool_type)
) WITH (fillfactor = 50);

-- Adds to both sums; `of_user` is null for what no learner spent. Nothing is stored of users who have deleted their account. The row
-- of the day is locked first, so that transactions of one tool wait for each other there and nowhere else.
CREATE FUNCTION change_ai_spending(of_user uuid, of_tool varchar, on_day date, more_tokens bigint, more_micros bigint,
    more_reserved_tokens bigint, more_reserved_micros bigint) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO ai_spending AS s (day, tool_type, tokens, cost_micros, reserved_tokens, reserved_micros)
    VALUES (on_day, of_tool, greatest(more_tokens, 0), greatest(more_micros, 0), greatest(more_reserved_tokens, 0),
        greatest(more_reserved_micros, 0))
    ON CONFLICT (day, tool_type) DO UPDATE SET tokens = greatest(s.tokens + more_tokens, 0),
        cost_micros = greatest(s.cost_micros + more_micros, 0),
        reserved_tokens = greatest(s.reserved_tokens + more_reserved_tokens, 0),
        reserved_micros = greatest(s.reserved_micros + more_reserved_micros, 0);
    INSERT INTO ai_learner_spending AS s (user_id, day, tool_type, tokens, cost_micros, reserved_tokens, reserved_micros)
    SELECT u.id, on_day, of_tool, greatest(more_tokens, 0), greatest(more_micros, 0), greatest(more_reserved_tokens, 0),
        greatest(more_reserved_micros, 0)
    FROM users u WHERE u.id = of_user AND u.erased_at IS NULL
    ON CONFLICT (user_id, day, tool_type) DO UPDATE SET tokens = greatest(s.tokens + more_tokens, 0),
        cost_micros = greatest(s.cost_micros + more_micros, 0),
        reserved_tokens = greatest(s.reserved_tokens + more_reserved_tokens, 0),
        reserved_micros = greatest(s.reserved_micros + more_reserved_micros, 0);
END;

-- What an open reply may cost at most. The row goes with the reply's end, whatever ends it, so nothing stays reserved.
CREATE TABLE ai_reservations (
    reply_id uuid PRIMARY KEY REFERENCES ai_replies ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    day date NOT NULL,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    cost_micros bigint NOT NULL CHECK (cost_micros >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ai_reservations_user_idx ON ai_reservations (user_id);

-- Of which budgets admins have been warned, once for each period. `user_id` is null unless the budget is that of a learner.
CREATE TABLE ai_budget_warnings (
    scope text NOT NULL CHECK (length(scope) <= 20),
    period text NOT NULL CHECK (period IN ('day', 'month')),
    unit text NOT NULL CHECK (unit IN ('tokens', 'cost_micros')),
    amount bigint NOT NULL,
    starts_on date NOT NULL,
    user_id uuid REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ai_budget_warnings_key ON ai_budget_warnings
    (scope, period, unit, amount, starts_on, coalesce(user_id, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX ai_budget_warnings_user_idx ON ai_budget_warnings (user_id);
CREATE INDEX ai_budget_warnings_starts_on_idx ON ai_budget_warnings (starts_on);

CREATE FUNCTION sum_ai_reservations() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM change_ai_spending(OLD.user_id, OLD.tool_type, OLD.day, 0, 0, -OLD.tokens, -OLD.cost_micros);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM change_ai_spending(NEW.user_id, NEW.tool_type, NEW.day, 0, 0, NEW.tokens, NEW.cost_micros);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER sum_spending AFTER INSERT OR UPDATE OR DELETE ON ai_reservations FOR EACH ROW
    EXECUTE FUNCTION sum_ai_reservations();

CREATE FUNCTION release_ai_reservation() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM ai_reservations WHERE reply_id = NEW.id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER release_reservation AFTER UPDATE OF state ON ai_replies FOR EACH ROW
    WHEN (OLD.state IN ('queued', 'streaming') AND NEW.state IN ('completed', 'failed', 'cancelled'))
    EXECUTE FUNCTION release_ai_reservation();

-- An attempt counts on the day on which it began, as soon as something is known of it, and is corrected when more is known.
CREATE FUNCTION sum_ai_attempts() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    of_user uuid;
    of_tool varchar;
BEGIN
    SELECT r.user_id, c.tool_type INTO of_user, of_tool
    FROM ai_replies r JOIN tool_chats c ON c.id = r.chat_id WHERE r.id = NEW.reply_id;
    PERFORM change_ai_spending(of_user, of_tool, (NEW.started_at AT TIME ZONE 'UTC')::date,
        coalesce(NEW.prompt_tokens, 0)::bigint + coalesce(NEW.completion_tokens, 0)
            - CASE TG_OP WHEN 'UPDATE' THEN coalesce(OLD.prompt_tokens, 0)::bigint + coalesce(OLD.completion_tokens, 0) ELSE 0 END,
        coalesce(NEW.cost_micros, 0) - CASE TG_OP WHEN 'UPDATE' THEN coalesce(OLD.cost_micros, 0) ELSE 0 END,
        0, 0);
    RETURN NULL;
END;
$$;

CREATE FUNCTION sum_ai_tryouts() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM change_ai_spending(NULL, (SELECT tool_type FROM ai_system_instructions WHERE id = NEW.instruction_id),
        (NEW.created_at AT TIME ZONE 'UTC')::date,
        coalesce(NEW.prompt_tokens, 0)::bigint + coalesce(NEW.completion_tokens, 0)
            - coalesce(OLD.prompt_tokens, 0) - coalesce(OLD.completion_tokens, 0),
        coalesce(NEW.cost_micros, 0) - coalesce(OLD.cost_micros, 0), 0, 0);
    RETURN NULL;
END;
$$;
CREATE TRIGGER sum_spending AFTER UPDATE OF prompt_tokens, completion_tokens, cost_micros ON ai_tryouts FOR EACH ROW
    WHEN ((OLD.prompt_tokens, OLD.completion_tokens, OLD.cost_micros)
        IS DISTINCT FROM (NEW.prompt_tokens, NEW.completion_tokens, NEW.cost_micros))
    EXECUTE FUNCTION sum_ai_tryouts();

-- As with the attempts at replies.
ALTER TABLE ai_tryouts
    ADD COLUMN thinking_tokens integer CONSTRAINT ai_tryouts_thinking_tokens_check CHECK (thinking_tokens >= 0),
    ADD COLUMN is_estimate boolean NOT NULL DEFAULT false;

CREATE TRIGGER sum_added_spending AFTER INSERT ON ai_reply_attempts FOR EACH ROW
    WHEN (NEW.prompt_tokens IS NOT NULL OR NEW.completion_tokens IS NOT NULL OR NEW.cost_micros IS NOT NULL)
    EXECUTE FUNCTION sum_ai_attempts();
CREATE TRIGGER sum_spending AFTER UPDATE OF prompt_tokens, completion_tokens, cost_micros ON ai_reply_attempts FOR EACH ROW
    WHEN ((OLD.prompt_tokens, OLD.completion_tokens, OLD.cost_micros)
        IS DISTINCT FROM (NEW.prompt_tokens, NEW.completion_tokens, NEW.cost_micros))
    EXECUTE FUNCTION sum_ai_attempts();

-- What was spent this month counts from the beginning. The triggers exist already, so no attempt is missed: those that end
-- meanwhile wait for this transaction, which reads the attempts once.
INSERT INTO ai_learner_spending (user_id, day, tool_type, tokens, cost_micros)
SELECT r.user_id, (a.started_at AT TIME ZONE 'UTC')::date, c.tool_type,
    sum(coalesce(a.prompt_tokens, 0)::bigint + coalesce(a.completion_tokens, 0)), sum(coalesce(a.cost_micros, 0))
FROM ai_reply_attempts a JOIN ai_replies r ON r.id = a.reply_id JOIN tool_chats c ON c.id = r.chat_id
JOIN users u ON u.id = r.user_id AND u.erased_at IS NULL
WHERE a.started_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
  AND num_nonnulls(a.prompt_tokens, a.completion_tokens, a.cost_micros) > 0
GROUP BY 1, 2, 3;
INSERT INTO ai_spending (day, tool_type, tokens, cost_micros)
SELECT day, tool_type, sum(tokens), sum(cost_micros) FROM ai_learner_spending GROUP BY day, tool_type;
