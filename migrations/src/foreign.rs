//! What is in a database before the first migration: nothing, the chats that Cairn adopts, or tables of another program, over
//! which the migrations would fail half-way or, worse, not fail.

use sqlx::PgConnection;

use crate::MigrateError;

/// How many foreign things the message names.
const NAMED: usize = 12;

/// What the schema `public` contains that neither Cairn nor an extension has put there. The tables that refer to each other in
/// the platform that Cairn replaces (`users` with nothing but ids, and its chats) are adopted as they are, so they are not foreign.
const FOREIGN: &str = "
WITH adopted (name, columns) AS (VALUES
    ('users', ARRAY['id uuid']),
    ('tool_chats', ARRAY['created_at timestamp with time zone', 'id uuid', 'tool_type character varying(20)',
        'updated_at timestamp with time zone', 'user_id uuid']),
    ('tool_messages', ARRAY['chat_id uuid', 'content text', 'created_at timestamp with time zone',
        'has_copyable_content boolean', 'id uuid', 'role character varying(10)'])
), relations AS (
    SELECT c.oid, c.relname::text AS name, c.relkind, array(
        SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname
    ) AS columns
    FROM pg_class c
    WHERE c.relnamespace = to_regnamespace('public') AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> '_sqlx_migrations'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT what FROM (
    SELECT 1 AS n, CASE WHEN r.relkind IN ('v', 'm') THEN 'the view ' ELSE 'the table ' END || r.name || coalesce(
        ' (with the columns ' || (
            SELECT string_agg(split_part(c, ' ', 1), ', ') FROM unnest(r.columns) c WHERE c <> ALL (a.columns)) || ')', '') AS what
    FROM relations r LEFT JOIN adopted a ON a.name = r.name AND r.relkind = 'r'
    WHERE a.name IS NULL OR r.columns <> a.columns
    UNION ALL
    SELECT 2, 'the type ' || t.typname
    FROM pg_type t
    WHERE t.typnamespace = to_regnamespace('public') AND t.typtype IN ('e', 'd')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
) found
ORDER BY n, what";

/// What another program has put into the schema `public`, in words; empty if a first migration can run.
pub(crate) async fn found(connection: &mut PgConnection) -> Result<Vec<String>, MigrateError> {
    Ok(sqlx::query_scalar(FOREIGN).persistent(false).fetch_all(connection).await?)
}

/// The refusal that names what was found.
pub(crate) fn refusal(found: &[String]) -> MigrateError {
    let mut named = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if found.len() > NAMED {
        named = format!("{named} and {} more", found.len() - NAMED);
    }
    MigrateError::Foreign(named)
}
