-- no-transaction
-- A table whose rows are deleted needs a key to be replicated logically. This one also finds the postings of an object, as the index
-- on object_id does, which 0175 removes.
CREATE UNIQUE INDEX CONCURRENTLY search_postings_key ON search_postings (object_id, kind, lexeme);
