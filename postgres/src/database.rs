//! The few statements that this crate runs on a server.

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Result;
use crate::error::sql;

/// SQLSTATE of `CREATE DATABASE` for a name that exists.
pub(crate) const DUPLICATE_DATABASE: &str = "42P04";
/// SQLSTATE of naming a database that does not exist.
pub(crate) const NO_SUCH_DATABASE: &str = "3D000";
/// SQLSTATE of a unique index violation, which `CREATE DATABASE` can cause in a race with another one.
const UNIQUE_VIOLATION: &str = "23505";

/// Connects to the database that `url` names.
pub(crate) async fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url).await.map_err(sql("connect to PostgreSQL"))
}

/// Runs a statement that cannot take parameters. Names in it must have gone through [`quoted`].
pub(crate) async fn run(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

/// Quotes a name for SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether the error has this SQLSTATE.
pub(crate) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(code))
}

/// Creates a database unless it exists, even if another session creates it at the same time.
pub(crate) async fn create_if_missing(connection: &mut PgConnection, name: &str) -> Result<()> {
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)");
    if exists.bind(name).fetch_one(&mut *connection).await.map_err(sql("look for a database"))? {
        return Ok(());
    }
    match run(connection, format!("CREATE DATABASE {}", quoted(name))).await {
        Err(error) if has_code(&error, DUPLICATE_DATABASE) || has_code(&error, UNIQUE_VIOLATION) => Ok(()),
        result => result.map_err(sql("create a database")),
    }
}

/// The URL for a role that is not the one in `url`, with a password that follows from its password: whoever has that can
/// compute the role's, and not the other way round.
pub fn role_url(url: &str, role: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (credentials, address) = match rest[..end].rfind('@') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => ("", rest),
    };
    let password = credentials.split_once(':').map_or("", |(_, password)| password);
    let password = Sha256::digest(format!("{role}:{password}"));
    let password = password.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("{scheme}://{role}:{password}@{address}")
}

/// The URL of another database on the server in `url`.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::{role_url, with_database};

    #[test]
    fn the_password_of_a_role_follows_from_the_servers() {
        let url = role_url("postgres://u:p@h:1/a?x=/y", "app");
        let password = url.strip_prefix("postgres://app:").and_then(|rest| rest.strip_suffix("@h:1/a?x=/y")).unwrap();
        assert_eq!(password.len(), 64);
        assert_eq!(url, role_url("postgres://v:p@h:1/a?x=/y", "app"));
        assert!(!role_url("postgres://u:p@h:1/a", "other").contains(password));
        assert!(!role_url("postgres://u:q@h:1/a", "app").contains(password));
        assert!(role_url("postgres://h/a", "app").ends_with("@h/a"));
    }

    #[test]
    fn changes_the_database_of_a_url() {
        assert_eq!(with_database("postgres://u:p@h:1/a", "b"), "postgres://u:p@h:1/b");
        assert_eq!(with_database("postgres://u:p@h:1", "b"), "postgres://u:p@h:1/b");
        assert_eq!(with_database("postgres://h/a?sslmode=disable", "b"), "postgres://h/b?sslmode=disable");
    }
}
