//! The two roles of a database: one owns the schema, the other reads and writes rows.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::applied::refuse_others;
use crate::error::MigrateError;

/// The usual name of the role that owns the schema and runs the migrations.
pub const OWNER: &str = "cairn_owner";
/// The usual name of the role that the programs use.
pub const APPLICATION: &str = "cairn_app";

/// What an administrator runs in the database, with the settings that it names: as [`create_roles`] does.
pub const ROLES_SQL: &str = include_str!("roles.sql");
const GRANTS_SQL: &str = include_str!("grants.sql");

/// SQLSTATEs of a password that is wrong or missing.
const REFUSED: [&str; 2] = ["28P01", "28000"];

/// The name and password of a role, which are those in its URL.
#[derive(Clone)]
pub struct Role {
    name: String,
    password: String,
    options: PgConnectOptions,
}

/// Without the password.
impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Role").field(&self.name).finish()
    }
}

impl Role {
    /// The role that connects by a URL.
    pub fn from_url(url: &str) -> Result<Self, MigrateError> {
        let options = PgConnectOptions::from_str(url)?;
        // The options do not tell their password.
        let password = url::Url::parse(url).map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let password = password.password().unwrap_or_default();
        let password = percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned();
        Ok(Self { name: options.get_username().to_owned(), password, options })
    }

    /// The name of the role.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the role connects.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

/// Creates the roles where they are missing, gives them the passwords of their URLs, and hands the schema of the database to
/// the owner. `administrator` is a superuser, or has `CREATEROLE` and owns the database. Safe to repeat. Like [`crate::migrate`], it
/// refuses a database of another program before anything is changed, because that program would lose its rights.
pub async fn create_roles(
    administrator: &PgConnectOptions,
    owner: &Role,
    application: &Role,
) -> Result<(), MigrateError> {
    let mut connection = administrator.connect().await?;
    match refuse_others(&mut connection).await {
        // Who may not read what was applied is about to become a member of the role that may.
        Err(MigrateError::Unreachable(error)) if is_forbidden(&error) => {}
        checked => checked?,
    }
    set(&mut connection, "cairn.owner", &owner.name).await?;
    set(&mut connection, "cairn.owner_password", &owner.password).await?;
    set(&mut connection, "cairn.application", &application.name).await?;
    set(&mut connection, "cairn.application_password", &application.password).await?;
    sqlx::raw_sql(ROLES_SQL).execute(&mut connection).await?;
    for role in [owner, application] {
        if is_refused(&role.options).await? {
            change_password(&mut connection, role).await?;
        }
    }
    Ok(connection.close().await?)
}

/// Lets the application use what the owner, who is connected, has made and will make.
pub(crate) async fn grant(connection: &mut PgConnection, application: &str) -> Result<(), MigrateError> {
    set(connection, "cairn.application", application).await?;
    // They come last, so a server that confirms commits early would lose them, and the migrations before them not, in a crash.
    set(connection, "synchronous_commit", "on").await?;
    sqlx::raw_sql(GRANTS_SQL).execute(connection).await?;
    Ok(())
}

/// The values reach `roles.sql` as settings of the session, so that no password is in a statement that the server may log.
async fn set(connection: &mut PgConnection, name: &str, value: &str) -> Result<(), MigrateError> {
    sqlx::query("SELECT set_config($1, $2, false)").bind(name).bind(value).execute(connection).await?;
    Ok(())
}

fn is_forbidden(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
}

/// Whether the server does not accept the password of a role that exists. A password is changed only then, because two
/// sessions that change a role at the same time disturb each other.
async fn is_refused(options: &PgConnectOptions) -> Result<bool, MigrateError> {
    match options.connect().await {
        Ok(connection) => {
            connection.close().await?;
            Ok(false)
        }
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| REFUSED.contains(&&*code)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

async fn change_password(connection: &mut PgConnection, role: &Role) -> Result<(), MigrateError> {
    set(connection, "cairn.role", &role.name).await?;
    set(connection, "cairn.password", &role.password).await?;
    let change = "DO $$ BEGIN EXECUTE format(
        'ALTER ROLE %I LOGIN PASSWORD %L', current_setting('cairn.role'), current_setting('cairn.password')
    ); END $$";
    sqlx::raw_sql(AssertSqlSafe(change)).execute(connection).await?;
    Ok(())
}
