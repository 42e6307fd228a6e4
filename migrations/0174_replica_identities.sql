-- With a publication of all tables, which is how a database is moved to another major version of Postgres without a pause, Postgres
-- refused to delete rows of these tables, and with that every change of content.
SET LOCAL lock_timeout = '2s';

ALTER TABLE search_postings REPLICA IDENTITY USING INDEX search_postings_key;
-- These have no key without nulls or expressions, and few rows.
ALTER TABLE ai_budget_warnings REPLICA IDENTITY FULL;
ALTER TABLE search_changes REPLICA IDENTITY FULL;
