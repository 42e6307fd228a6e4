//! Migrations: those of apalis-postgres (schema `apalis`), then ours, in that order.
//!
//! A crate of its own because it must run before the queries of `core/`, which are checked against its result, compile.
//! How to add a migration, and what one may do, is in `migrations/README.md`.

mod applied;
mod error;
mod foreign;
mod roles;

use apalis_postgres::PostgresStorage;
use sqlx::migrate::Migrate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use self::applied::{OUR_TABLE, OURS, applied, refuse_others};
pub use self::error::MigrateError;
pub use self::roles::{APPLICATION, OWNER, ROLES_SQL, Role, create_roles};

/// How far a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// Migrations that have been applied.
    pub applied: usize,
    /// Migrations that this program has and the database has not.
    pub pending: usize,
}

/// Brings the database up to date. Safe to repeat, and to run from several processes at once: each waits for the
/// other's advisory lock and then finds nothing to do. Refuses a newer database, one that was made before the migrations were
/// squashed, and one of another program, before anything is changed.
///
/// `options` are those of the owner of the schema, and `application` is the role that the programs use, which gets the
/// rights that they need. `None` where the owner is that role.
pub async fn migrate(options: &PgConnectOptions, application: Option<&Role>) -> Result<Migrations, MigrateError> {
    let mut connection = options.connect().await?;
    check(&mut connection).await?;
    // Limits of the role or the database are for programs. A migration takes as long as it takes, and says how long it waits for
    // locks; who migrates at the same time waits for the other.
    sqlx::raw_sql("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = 0")
        .execute(&mut connection)
        .await?;
    PostgresStorage::<()>::migrations().run(&mut connection).await?;
    OURS.run(&mut connection).await?;
    if let Some(application) = application {
        roles::grant(&mut connection, application.name()).await?;
    }
    check(&mut connection).await
}

/// Creates both roles and migrates as the owner: all that an empty database needs. The parameters are the URLs of the same
/// database for a superuser, the owner and the application.
pub async fn set_up(administrator: &str, owner: &str, application: &str) -> Result<Migrations, MigrateError> {
    let (owner, application) = (Role::from_url(owner)?, Role::from_url(application)?);
    create_roles(&administrator.parse()?, &owner, &application).await?;
    migrate(owner.options(), Some(&application)).await
}

/// Tells what [`migrate`] would do, without doing it. [`MigrateError::Newer`] comes last: nothing else is wrong then.
pub async fn migrations(options: &PgConnectOptions) -> Result<Migrations, MigrateError> {
    check(&mut options.connect().await?).await
}

/// The same on a connection that is open already.
pub async fn migrations_on(connection: &mut PgConnection) -> Result<Migrations, MigrateError> {
    check(connection).await
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
    refuse_others(connection).await?;
    let mut state = Migrations { applied: 0, pending: 0 };
    let mut newer = None;
    for (migrator, table) in [(&apalis, apalis_table), (&OURS, OUR_TABLE)] {
        let applied = applied(connection, table).await?;
        for found in &applied {
            match migrator.iter().find(|known| known.version == found.version) {
                Some(known) if known.checksum != found.checksum => return Err(MigrateError::Changed(found.version)),
                Some(_) => {}
                None => newer = Some(found.version),
            }
        }
        if !applied.is_empty()
            && let Some(version) = connection.dirty_version(table).await?
        {
            return Err(MigrateError::Unfinished(version));
        }
        let known = migrator.iter().filter(|m| m.migration_type.is_up_migration()).count();
        state.applied += applied.len();
        state.pending += known.saturating_sub(applied.len());
    }
    newer.map_or(Ok(state), |version| Err(MigrateError::Newer(version)))
}
