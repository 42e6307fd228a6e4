//! Migrations: those of apalis-postgres (schema `apalis`), then ours, in that order.
//!
//! A crate of its own because it must run before the queries of `core/`, which are checked against its result, compile.
//! A new migration is a new file `NNNN_name.sql` beside the others; one that has been released is never edited.

use apalis_postgres::PostgresStorage;
use sqlx::migrate::{Migrate, MigrateError as SqlxMigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

static OURS: Migrator = sqlx::migrate!("../migrations");

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database has a migration that this program does not know.
    #[error(
        "the database is newer than this program (it has migration {0}, unknown here): run a current version of Cairn"
    )]
    Newer(i64),
    /// A migration that ran before has been edited since.
    #[error("migration {0} was changed after it had been applied: restore the file and add a new migration instead")]
    Changed(i64),
    /// Anything else: no connection, or a statement that failed (its migration is rolled back).
    #[error("{0}")]
    Failed(#[source] SqlxMigrateError),
}

impl From<SqlxMigrateError> for MigrateError {
    fn from(error: SqlxMigrateError) -> Self {
        match error {
            SqlxMigrateError::VersionMissing(version) => Self::Newer(version),
            SqlxMigrateError::VersionMismatch(version) => Self::Changed(version),
            error => Self::Failed(error),
        }
    }
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// How far a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// Migrations that have been applied.
    pub applied: usize,
    /// Migrations that this program has and the database has not.
    pub pending: usize,
}

/// Brings the database up to date. Safe to repeat, and to run from several processes at once: each waits for the
/// other's advisory lock and then finds nothing to do. Refuses a newer database.
pub async fn migrate(options: &PgConnectOptions) -> Result<Migrations, MigrateError> {
    let mut connection = options.connect().await?;
    PostgresStorage::<()>::migrations().run(&mut connection).await?;
    OURS.run(&mut connection).await?;
    check(&mut connection).await
}

/// Tells what [`migrate`] would do, without doing it.
pub async fn migrations(options: &PgConnectOptions) -> Result<Migrations, MigrateError> {
    check(&mut options.connect().await?).await
}

/// Names the schema that [`migrate`] makes: a database made under the same name needs no migration.
pub fn schema_fingerprint() -> String {
    let apalis = PostgresStorage::<()>::migrations();
    let checksums = apalis.iter().chain(OURS.iter()).flat_map(|m| m.checksum.iter().take(2));
    checksums.fold(String::from("cairn_"), |name, byte| format!("{name}{byte:02x}"))
}

async fn check(connection: &mut PgConnection) -> Result<Migrations, MigrateError> {
    let apalis = PostgresStorage::<()>::migrations();
    let apalis_table = "apalis._sqlx_migrations";
    let mut state = Migrations { applied: 0, pending: 0 };
    for (migrator, table) in [(&apalis, apalis_table), (&OURS, "_sqlx_migrations")] {
        let applied = if table_exists(connection, table).await? {
            connection.list_applied_migrations(table).await?
        } else {
            Vec::new()
        };
        if let Some(unknown) = applied.iter().find(|m| !migrator.version_exists(m.version)) {
            return Err(MigrateError::Newer(unknown.version));
        }
        let known = migrator.iter().filter(|m| m.migration_type.is_up_migration()).count();
        state.applied += applied.len();
        state.pending += known.saturating_sub(applied.len());
    }
    Ok(state)
}

async fn table_exists(connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(connection).await
}
