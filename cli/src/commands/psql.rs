//! `cairn psql`: opens psql on the database, with the password where no list of processes shows it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cairn_core::config::Config;
use percent_encoding::percent_decode_str;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::database::{Database, Sharing};
use crate::failure::Failure;

/// The parameters of a URL that psql knows. Others are for the programs' driver.
const PARAMETERS: [&str; 11] = [
    "application_name",
    "connect_timeout",
    "host",
    "options",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Connect as the owner of the schema instead of as the programs do.
    #[arg(long)]
    owner: bool,
    /// Arguments for psql, such as `-c 'SELECT 1'`.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: &Args) -> Result<(), Failure> {
    let database = Database::open(config, data_dir, Sharing::Shared).await?;
    let url = if args.owner { database.owner_url() } else { database.direct_url() };
    let (url, password) = without_password(url.expose());
    let mut command = Command::new(program(&database));
    command.arg("--dbname").arg(url).args(&args.arguments);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    // As the programs do. `options` in the URL count more, and `SET` in the session.
    command.env("PGOPTIONS", "-c search_path=public");
    // Ctrl-C is for psql, which ends a statement with it.
    let _interrupts = signal(SignalKind::interrupt())?;
    let status = command.status().await;
    database.close().await?;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::AlreadyReported),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::setup("psql is not installed: on Debian, it is in the package postgresql-client"))
        }
        Err(error) => Err(Failure::failed(format!("psql does not start: {error}"))),
    }
}

/// The psql that came with the embedded server, or else the one on the machine.
fn program(database: &Database) -> PathBuf {
    let own = database.programs().map(|programs| programs.join("psql")).filter(|psql| psql.exists());
    own.unwrap_or_else(|| PathBuf::from("psql"))
}

/// A URL for psql, and the password that it had.
fn without_password(url: &str) -> (String, Option<String>) {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let (account, place) = rest.rsplit_once('@').map_or((None, rest), |(account, place)| (Some(account), place));
    let (user, password) = match account.map(|account| account.split_once(':').unwrap_or((account, ""))) {
        None => (String::new(), None),
        Some((user, "")) => (format!("{user}@"), None),
        Some((user, password)) => {
            (format!("{user}@"), Some(percent_decode_str(password).decode_utf8_lossy().into_owned()))
        }
    };
    let is_known = |parameter: &&str| parameter.split('=').next().is_some_and(|name| PARAMETERS.contains(&name));
    let query = query.split('&').filter(is_known).collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    (format!("{scheme}://{user}{place}{mark}{query}"), password)
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn the_password_is_not_in_the_arguments_and_the_rest_is() {
        for (url, expected, password) in [
            ("postgres://u:p@h/d", "postgres://u@h/d", Some("p")),
            ("postgresql://u:a%40b%3A%2F@h:1/d", "postgresql://u@h:1/d", Some("a@b:/")),
            (
                "postgres://u@h,i:2/d?target_session_attrs=read-write",
                "postgres://u@h,i:2/d?target_session_attrs=read-write",
                None,
            ),
            ("postgres:///d?host=/run/postgresql", "postgres:///d?host=/run/postgresql", None),
            (
                "postgres://u:p@[::1]:5/d?sslmode=verify-full&statement-cache-capacity=0&password=p",
                "postgres://u@[::1]:5/d?sslmode=verify-full",
                Some("p"),
            ),
        ] {
            assert_eq!(without_password(url), (expected.to_owned(), password.map(str::to_owned)), "{url}");
        }
    }
}
