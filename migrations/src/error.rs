//! Why a database could not be migrated.

use sqlx::migrate::MigrateError as SqlxMigrateError;

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database was made by migrations that were since squashed into others. Nothing is done to it.
    #[error(
        "the database was made before the first release of Cairn (it has migration {0}) and cannot be brought up to \
         date, so it was left as it is: use an empty database; courses come along with `cairn export` of the version \
         that made it and `cairn import`"
    )]
    Squashed(i64),
    /// The database has a migration that this program does not know.
    #[error(
        "the database is newer than this program (it has migration {0}, unknown here): run a current version of Cairn"
    )]
    Newer(i64),
    /// A migration that ran before has been edited since.
    #[error("migration {0} was changed after it had been applied: restore the file and add a new migration instead")]
    Changed(i64),
    /// The database has tables or types of another program. Nothing is done to it.
    #[error(
        "the database is not empty and was not made by Cairn, so it was left as it is; it has {0}: let DATABASE_URL name an \
         empty database, and if this is the database of the platform that Cairn replaces, carry its contents over with \
         `cairn import-legacy`, which reads it at CAIRN_LEGACY_URL (`cairn adopt --check` says beforehand what maps and what \
         does not)"
    )]
    Foreign(String),
    /// A migration that is not one transaction has begun and not ended.
    #[error(
        "migration {0} has begun and not ended: see what it did in migrations/, undo that, remove its row from _sqlx_migrations, and \
         run `cairn migrate` again"
    )]
    Unfinished(i64),
    /// A statement that failed; its migration is rolled back.
    #[error("{0}")]
    Failed(#[source] SqlxMigrateError),
    /// No connection, or a failure outside of migrations.
    #[error("{0}")]
    Unreachable(#[source] sqlx::Error),
}

impl From<SqlxMigrateError> for MigrateError {
    fn from(error: SqlxMigrateError) -> Self {
        match error {
            SqlxMigrateError::VersionMissing(version) => Self::Newer(version),
            SqlxMigrateError::VersionMismatch(version) => Self::Changed(version),
            SqlxMigrateError::Dirty(version) => Self::Unfinished(version),
            // Its own words are of executing migrations, and nothing may have been executed.
            SqlxMigrateError::Execute(error) => Self::Unreachable(error),
            error => Self::Failed(error),
        }
    }
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unreachable(error)
    }
}
