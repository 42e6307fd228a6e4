-- While a release is deployed, and after one was taken back, workers of the previous release erase the data of learners who have
-- deleted their account. They do not know the tables that were made since, so what a learner spent stayed there for good. It goes
-- when the last part of an erasure is done, whoever does it. A table of learners that is made later belongs in here as well.
SET LOCAL lock_timeout = '2s';

CREATE FUNCTION finish_erasure() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM ai_learner_spending WHERE user_id = OLD.user_id;
    DELETE FROM ai_budget_warnings WHERE user_id = OLD.user_id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER finish_erasure AFTER DELETE ON erasures FOR EACH ROW EXECUTE FUNCTION finish_erasure();
