//! What has been applied to a database, and whether it was made by these migrations.

use sqlx::PgConnection;
use sqlx::migrate::{AppliedMigration, Migrate, Migrator};

use crate::error::MigrateError;
use crate::foreign;

pub(crate) static OURS: Migrator = sqlx::migrate!("../migrations");
pub(crate) const OUR_TABLE: &str = "_sqlx_migrations";

/// Refuses a database that was not made by these migrations.
pub(crate) async fn refuse_others(connection: &mut PgConnection) -> Result<(), MigrateError> {
    refuse_squashed(&applied(connection, OUR_TABLE).await?)?;
    refuse_foreign(connection).await
}

/// The numbers of squashed migrations are never used again, so a lower number than our first is one of those.
fn refuse_squashed(applied: &[AppliedMigration]) -> Result<(), MigrateError> {
    let first = OURS.iter().map(|migration| migration.version).min();
    match applied.iter().map(|migration| migration.version).filter(|version| Some(*version) < first).max() {
        Some(version) => Err(MigrateError::Squashed(version)),
        None => Ok(()),
    }
}

/// Refuses a database that has tables or types of another program, before anything is written. Once a migration of ours has been
/// applied, what is in the schema is ours, or was put beside it on purpose.
async fn refuse_foreign(connection: &mut PgConnection) -> Result<(), MigrateError> {
    if has_begun(connection).await? {
        return Ok(());
    }
    let found = foreign::found(connection).await?;
    // Another process may just have applied its first migration, which what was found is of.
    if found.is_empty() || has_begun(connection).await? {
        return Ok(());
    }
    Err(foreign::refusal(&found))
}

/// Whether one of our migrations was applied. Other programs keep theirs in a table of the same name.
async fn has_begun(connection: &mut PgConnection) -> Result<bool, MigrateError> {
    Ok(applied(connection, OUR_TABLE).await?.iter().any(|applied| OURS.version_exists(applied.version)))
}

pub(crate) async fn applied(connection: &mut PgConnection, table: &str) -> Result<Vec<AppliedMigration>, MigrateError> {
    let exists = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table);
    if exists.fetch_one(&mut *connection).await? {
        Ok(connection.list_applied_migrations(table).await?)
    } else {
        Ok(Vec::new())
    }
}
