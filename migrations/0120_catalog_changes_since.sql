-- Postgres puts a function that returns rows into the plan of the statement that reads from it. It calls one that returns a
-- value, and plans its query anew each time, which took longer than the rest of the statement that reads a tree.
DROP FUNCTION is_catalog_unchanged;
-- The transactions that changed content and were not visible to that snapshot. Ids that this server has not given out yet
-- come from a dump of another one and say nothing.
CREATE FUNCTION catalog_changes_since(since pg_snapshot) RETURNS SETOF xid8 LANGUAGE sql STABLE AS $$
    SELECT xact FROM catalog_changes
    WHERE xact >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(xact, since)
      AND xact < pg_snapshot_xmax(pg_current_snapshot())
$$;
