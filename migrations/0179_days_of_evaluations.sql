-- What an answer of an evaluation costs counts on the day of its run. It counted on the day on which a number was changed, so an
-- estimate that was taken back after midnight was taken from another day.
SET LOCAL lock_timeout = '2s';

CREATE OR REPLACE FUNCTION sum_ai_evaluations() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM change_ai_spending(NULL,
        (SELECT e.tool_type FROM ai_evaluation_runs r JOIN ai_evaluations e ON e.id = r.evaluation_id WHERE r.id = NEW.run_id),
        (NEW.created_at AT TIME ZONE 'UTC')::date,
        coalesce(NEW.prompt_tokens, 0)::bigint + coalesce(NEW.completion_tokens, 0)
            - coalesce(OLD.prompt_tokens, 0) - coalesce(OLD.completion_tokens, 0),
        coalesce(NEW.cost_micros, 0) - coalesce(OLD.cost_micros, 0), 0, 0);
    RETURN NULL;
END;
$$;
