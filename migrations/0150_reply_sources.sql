-- Which of its sources an answer used: their numbers in `context`, from 1. Written when the reply is completed.
SET LOCAL lock_timeout = '2s';

ALTER TABLE ai_replies ADD COLUMN cited smallint[] NOT NULL DEFAULT '{}';
ALTER TABLE ai_replies ADD CONSTRAINT ai_replies_cited CHECK (cardinality(cited) <= 100) NOT VALID;
