-- Whoever runs the programs may read and write rows, and not change the schema. The partitions of the activity log are the one
-- thing that the worker makes and drops: these two functions do that with the rights of their owner, and nothing else. Their
-- callers choose neither the names nor the statements, and `pg_temp` comes last (pg_catalog is always first), so that no temporary
-- table can stand in for one of ours.
ALTER FUNCTION create_activity_partitions(timestamptz, integer) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION drop_activity_partitions(timestamptz, integer) SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION create_activity_partitions(timestamptz, integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION drop_activity_partitions(timestamptz, integer) FROM PUBLIC;
