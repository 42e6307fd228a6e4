-- Before 0161, an object that two transactions indexed at the same time could have each of its words twice, and then the key that
-- 0161 adds cannot be made. This has a lower number, so that it is applied first where 0161 has failed.
SET LOCAL lock_timeout = '2s';

-- allowed: there are few of them, if any.
DELETE FROM search_postings a USING search_postings b
WHERE (a.object_id, a.kind, a.lexeme) = (b.object_id, b.kind, b.lexeme) AND a.ctid < b.ctid;
