-- The ids of transactions in `catalog_changes` are those of another server if the database was restored from a dump or replicated.
-- When this server gave out the same id to a transaction that is not over yet, its content seemed to change within a snapshot, and
-- roadmaps were answered with an error for as long as that transaction lasted. A row whose transaction the snapshot does not see
-- would not be seen either, so one that is seen nevertheless comes from another server and says nothing.
--
-- The snapshot, too, may be of another server, or of this one before it was recovered to an earlier moment. It is ahead of this server
-- then, and what was read in it is no longer used.
CREATE OR REPLACE FUNCTION catalog_changes_since(since pg_snapshot) RETURNS SETOF xid8 LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT xact FROM catalog_changes
    WHERE xact >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(xact, since)
      AND (pg_visible_in_snapshot(xact, pg_current_snapshot()) OR xact = pg_current_xact_id_if_assigned())
    UNION ALL
    SELECT pg_snapshot_xmax(since) WHERE pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax(since);
END;
