-- A table whose rows are deleted needs a key to be replicated logically. This one also finds the postings of an object, as the index
-- on object_id did. It is not made CONCURRENTLY: whoever else migrates at the same time waits for this migration with a statement,
-- for whose end such an index would wait in turn.
SET LOCAL lock_timeout = '2s';

-- allowed: only changes of content wait for it, for some seconds.
CREATE UNIQUE INDEX search_postings_key ON search_postings (object_id, kind, lexeme);
-- allowed: in the same short transaction, for the same reason.
DROP INDEX search_postings_object_idx;
