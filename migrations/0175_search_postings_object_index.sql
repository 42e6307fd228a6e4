-- no-transaction
-- search_postings_key begins with the same column.
DROP INDEX CONCURRENTLY search_postings_object_idx;
