//! Whether a database suits Cairn: what is asked before anything is written to it, and by `cairn doctor`.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;

use crate::db::{LOSES_NOTIFICATIONS, MigrateError, Migrations, connect, migrations, notify};
use crate::hosts;
use crate::program::{Failure, refusal_of_connection};
use crate::{Error, Result};

/// How long the checks of a service that starts may take.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long a notification may take.
const NOTIFICATION_LIMIT: Duration = Duration::from_secs(3);

/// The oldest server that the migrations suit, as `server_version_num`.
const OLDEST: i32 = 140_000;

/// The extensions that the migrations install.
const EXTENSIONS: [&str; 3] = ["fuzzystrmatch", "hstore", "pgcrypto"];

/// Those whose functions and types statements and migrations use without naming a schema.
const EXTENSIONS_BY_NAME: [&str; 2] = ["fuzzystrmatch", "hstore"];

/// What a database is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// The encoding, such as `UTF8`.
    pub encoding: String,
    /// The locale of upper and lower case, such as `C.UTF-8`.
    pub ctype: String,
    /// The version of the server, such as 150014.
    pub version: i32,
    /// Whether nothing can be written: a standby, or a database that was set to read-only.
    pub is_read_only: bool,
    /// The number of connections that the server accepts from roles that are not superusers.
    pub max_connections: i32,
    /// How many there are, of all databases.
    pub connections: i64,
    /// Replication slots and prepared transactions that keep the server from cleaning up.
    pub holders: Vec<String>,
    /// How many connections the role, or the whole database, may have by its own limit; `None` without one.
    pub own_limit: Option<i32>,
    /// The table of this database that wastes most: with more than 100,000 dead rows, and more of them than half of the others.
    pub bloated: Option<String>,
}

/// Reads what a database is like. Needs no table of ours.
pub async fn database(connection: &mut PgConnection) -> Result<Database> {
    let database = sqlx::query_as!(
        Database,
        r#"SELECT pg_encoding_to_char(d.encoding)::text AS "encoding!", d.datctype::text AS "ctype!",
               current_setting('server_version_num')::int AS "version!",
               pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS "is_read_only!",
               current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                   AS "max_connections!",
               -- What kind of session it is can be seen of one's own only.
               (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL) AS "connections!",
               ARRAY(SELECT 'replication slot ' || slot_name FROM pg_replication_slots
                     WHERE NOT active AND coalesce(xmin, catalog_xmin) IS NOT NULL
                     UNION ALL
                     SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = current_database())
                   AS "holders!",
               (SELECT min(l) FROM unnest(ARRAY[d.datconnlimit, (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)]) l
                WHERE l >= 0) AS own_limit,
               (SELECT relname || ' has ' || n_dead_tup || ' dead rows, '
                    || coalesce('last cleaned at ' || date_trunc('second', greatest(last_autovacuum, last_vacuum)), 'never cleaned')
                FROM pg_stat_user_tables WHERE n_dead_tup > 100000 AND n_dead_tup > n_live_tup / 2
                ORDER BY n_dead_tup DESC LIMIT 1) AS bloated
           FROM pg_database d
           WHERE d.datname = current_database()"#
    );
    Ok(database.fetch_one(connection).await?)
}

/// Why Cairn cannot use such a database, and what to do. `None` if it can.
pub fn unsuitable(database: &Database) -> Option<String> {
    if database.version < OLDEST {
        return Some(format!(
            "the server is PostgreSQL {}, and 14 or newer is needed: upgrade it",
            database.version / 10_000
        ));
    }
    if database.encoding != "UTF8" {
        return Some(format!(
            "the database has the encoding {}, which cannot store every text: make another one with \
             CREATE DATABASE cairn ENCODING 'UTF8' TEMPLATE template0",
            database.encoding
        ));
    }
    None
}

/// Why the tables are not found, or would be made elsewhere, and what to do. `None` if they are in the schema `public`, as all
/// functions of the schema expect.
pub async fn search_path(connection: &mut PgConnection) -> Result<Option<String>> {
    let found = sqlx::query!(
        r#"SELECT current_schema()::text AS schema, has_schema_privilege(to_regnamespace('public'), 'USAGE') AS may_use,
               quote_ident(current_user) AS "role!", quote_ident(current_database()) AS "database!""#
    );
    let found = found.fetch_one(connection).await?;
    let (role, database) = (found.role, found.database);
    Ok(match (found.schema.as_deref(), found.may_use) {
        (Some("public"), _) => None,
        (_, None) => Some("the database has no schema public: CREATE SCHEMA public".to_owned()),
        (_, Some(false)) => {
            Some(format!("{role} may not use the schema public: GRANT USAGE ON SCHEMA public TO {role}"))
        }
        (schema, Some(true)) => Some(format!(
            "a pooler drops the options of connections, and {role} looks for tables in {} first: ALTER ROLE {role} IN DATABASE \
             {database} SET search_path = public, and RECONNECT in PgBouncer",
            schema.map_or_else(|| "no schema".to_owned(), |schema| format!("the schema {schema}"))
        )),
    })
}

/// What is wrong with the extensions that the migrations need, and what to do. `None` if nothing is.
pub async fn extensions(connection: &mut PgConnection) -> Result<Option<String>> {
    let found = sqlx::query!(
        r#"SELECT ARRAY(SELECT name FROM unnest($1::text[]) name
                     WHERE NOT EXISTS (SELECT FROM pg_available_extensions a WHERE a.name = name.name)) AS "missing!",
               ARRAY(SELECT e.extname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                     WHERE e.extname = ANY ($2) AND n.nspname <> 'public') AS "elsewhere!",
               to_regclass('public.search_postings') IS NOT NULL AS "is_migrated!",
               ARRAY(SELECT name FROM unnest($1::text[]) name
                     WHERE NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = name.name)) AS "absent!""#,
        &EXTENSIONS.map(str::to_owned),
        &EXTENSIONS_BY_NAME.map(str::to_owned)
    );
    let found = found.fetch_one(connection).await?;
    if let Some(extension) = found.elsewhere.first() {
        return Ok(Some(format!(
            "the extension {extension} is in another schema, where its functions are not found: ALTER EXTENSION {extension} SET SCHEMA \
             public"
        )));
    }
    if let Some(extension) = found.absent.first().filter(|_| found.is_migrated) {
        return Ok(Some(format!(
            "the extension {extension} was removed from the database: CREATE EXTENSION {extension}"
        )));
    }
    Ok(found.missing.first().map(|extension| {
        format!(
            "the server does not have the extension {extension}: install the contrib package of Postgres on it (on Debian, \
             postgresql-contrib)"
        )
    }))
}

/// Why a role cannot apply migrations, and what to do. `None` if it can. It needs these rights even if no migration is pending.
pub async fn missing_rights(connection: &mut PgConnection) -> Result<Option<String>> {
    let found = sqlx::query!(
        r#"SELECT current_user::text AS "role!", quote_ident(current_database()) AS "database!",
               has_schema_privilege('public', 'CREATE') AS "may_create!",
               has_database_privilege(current_database(), 'CREATE') AS "may_create_schemas!""#
    );
    let found = found.fetch_one(connection).await?;
    if !found.may_create || !found.may_create_schemas {
        return Ok(Some(format!(
            "{role} may not create tables and schemas in {database}: set DATABASE_OWNER_URL to the owner of the schema; if that is \
             {role}, GRANT CREATE ON DATABASE {database} TO {role} and GRANT CREATE ON SCHEMA public TO {role}, or have `cairn migrate \
             --roles` do it",
            role = found.role,
            database = found.database
        )));
    }
    Ok(None)
}

/// Whether a notification that is sent on a connection of `pool` arrives on one of `direct`. A pooler in transaction mode takes
/// `LISTEN` and forgets it.
pub async fn notifications_arrive(pool: &PgConnectOptions, direct: &PgConnectOptions) -> Result<bool> {
    let channel = format!("cairn_doctor_{}", crate::clock::new_id().simple());
    let listeners =
        PgPoolOptions::new().max_connections(1).acquire_timeout(NOTIFICATION_LIMIT).connect_lazy_with(direct.clone());
    let mut listener = PgListener::connect_with(&listeners).await?;
    listener.listen(&channel).await?;
    let is_sent = notify(pool, &channel).await?;
    let has_arrived = timeout(NOTIFICATION_LIMIT, listener.recv()).await.is_ok_and(|received| received.is_ok());
    drop(listener);
    Ok(is_sent && has_arrived)
}

/// What limits the statements of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// The options that programs connect with.
    Options,
    /// A pooler drops those, and the role has a limit of its own.
    Role,
    /// A pooler drops those, and nothing takes their place.
    None,
}

/// Whether the server got the options that programs connect with, and what limits statements if not. Poolers drop them if they are told
/// to ignore `options`.
pub async fn limits(pool: &PgConnectOptions) -> Result<Limits> {
    let mut connection = pool.clone().options([("cairn.asked", "yes")]).connect().await?;
    let (asked, timeout): (Option<String>, String) =
        sqlx::query_as("SELECT current_setting('cairn.asked', true), current_setting('statement_timeout')")
            .persistent(false)
            .fetch_one(&mut connection)
            .await?;
    connection.close().await?;
    Ok(match (asked.as_deref(), timeout.as_str()) {
        (Some("yes"), _) => Limits::Options,
        (_, "0") => Limits::None,
        _ => Limits::Role,
    })
}

/// Whether a statement can be prepared in one transaction and executed in another. A pooler in transaction mode may give the
/// second one another connection to the server, and has to prepare it there.
pub async fn statements_stay_prepared(pool: &PgConnectOptions) -> Result<bool> {
    match prepare_and_execute(pool).await {
        Ok(()) => Ok(true),
        // invalid_sql_statement_name, and duplicate_prepared_statement: one that somebody else has left.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("26000" | "42P05")) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn prepare_and_execute(pool: &PgConnectOptions) -> sqlx::Result<()> {
    const ASKED: &str = "SELECT pg_backend_pid()";
    let mut first = pool.connect().await?;
    let before: i32 = sqlx::query_scalar(ASKED).fetch_one(&mut first).await?;
    // Others occupy the connection to the server on which the statement was prepared, if it is not the first one's own.
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = pool.connect().await?;
        sqlx::raw_sql("BEGIN").execute(&mut other).await?;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid() + 0").fetch_one(&mut other).await?;
        others.push(other);
        if pid == before {
            break;
        }
    }
    sqlx::query_scalar::<_, i32>(ASKED).fetch_one(&mut first).await?;
    for other in others {
        other.close().await?;
    }
    first.close().await
}

/// Fails if a service cannot work with its database. A schema that is newer than the program is fine: until a deployment is
/// complete, and after it was taken back, the previous release runs on it.
pub async fn check(pool: &PgConnectOptions, direct: &PgConnectOptions) -> std::result::Result<(), Failure> {
    let checks = async {
        let (pool, direct) = (hosts::writable(pool).await, hosts::writable(direct).await);
        let unusable = |error: Error| match refusal_of_connection(&error) {
            Some(refusal) => Failure::Setup(refusal),
            None => Failure::Failed(format!("the database cannot be used: {error}")),
        };
        if !statements_stay_prepared(&pool).await.map_err(unusable)? {
            return Err(Failure::setup(LOSES_STATEMENTS));
        }
        let mut connection = connect(&pool).await.map_err(unusable)?;
        if let Some(fault) = search_path(&mut connection).await.map_err(unusable)? {
            return Err(Failure::Setup(fault));
        }
        drop(connection);
        match migrations(&pool).await {
            Ok(Migrations { pending: 0, .. }) => {}
            Ok(Migrations { pending, .. }) => {
                return Err(Failure::Setup(format!("the database lacks {pending} migrations: run `cairn migrate`")));
            }
            Err(error @ MigrateError::Newer(_)) => tracing::warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
        // A service works without notifications, if more slowly.
        match notifications_arrive(&pool, &direct).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("{LOSES_NOTIFICATIONS}"),
            Err(error) => {
                tracing::warn!(error = %error, "cannot listen for notifications: correct DATABASE_DIRECT_URL");
            }
        }
        Ok(())
    };
    let silent = |_| Failure::Failed(format!("the database did not answer within {START_LIMIT:?}"));
    timeout(START_LIMIT, checks).await.map_err(silent)?
}

/// What to do about [`statements_stay_prepared`].
pub const LOSES_STATEMENTS: &str = "the pooler in DATABASE_URL loses prepared statements: set max_prepared_statements in PgBouncer \
                                    (1.21 or newer), or pool_mode = session, or connect to the server itself";
