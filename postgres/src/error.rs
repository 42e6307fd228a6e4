//! The error type of the crate.

use std::io;
use std::path::{Path, PathBuf};

/// Why an operation on the embedded Postgres failed. Each message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine has no usable server binaries, and downloading them failed.
    #[error(
        "no PostgreSQL {wanted} server found and the download failed ({reason}): install it (Debian: apt-get install postgresql, macOS: brew install postgresql@17) or set DATABASE_URL"
    )]
    NoBinaries {
        /// The required version, such as `14+` or `15`.
        wanted: String,
        /// Why the download failed.
        reason: String,
    },
    /// The directory named by `CAIRN_POSTGRES_BIN` has no usable server binaries.
    #[error("CAIRN_POSTGRES_BIN={} is not usable ({reason}): set it to a directory that contains postgres and initdb, or unset it", dir.display())]
    ChosenBinaries {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data belongs to another major version than the binaries in `CAIRN_POSTGRES_BIN`.
    #[error("the data belongs to PostgreSQL {data}, but CAIRN_POSTGRES_BIN={} is {binaries}: use binaries of {data}, or delete the data directory to start over", dir.display())]
    VersionMismatch {
        /// The directory of the binaries.
        dir: PathBuf,
        /// The major version of the binaries.
        binaries: u32,
        /// The major version of the data.
        data: u32,
    },
    /// Another live process runs a server on this data root.
    #[error("{} is already in use by process {pid}: stop that one first", root.display())]
    AlreadyRunning {
        /// The data root.
        root: PathBuf,
        /// The process that runs the server.
        pid: u32,
    },
    /// An earlier server on this data root does not end.
    #[error("{} is still used by an earlier server{}: stop it, or remove the directory", root.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Busy {
        /// The data root.
        root: PathBuf,
        /// The earlier server, if known.
        pid: Option<u32>,
    },
    /// A file or directory belongs to another user, for example after a run as root.
    #[error("{} belongs to user id {owner}, but must belong to {needed}: run as the user who created it, or delete it to start over", path.display())]
    Ownership {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The required owner.
        needed: u32,
    },
    /// This process is root, and there is no unprivileged account to run Postgres.
    #[error(
        "PostgreSQL refuses to run as root and /etc/passwd has no account postgres or nobody: run as an ordinary user"
    )]
    NoAccount,
    /// A file or process operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed: {log} (whole log: {})", file.display())]
    Initdb {
        /// Its last lines.
        log: String,
        /// The log file.
        file: PathBuf,
    },
    /// The server did not start.
    #[error("PostgreSQL did not start: {log} (whole log: {})", file.display())]
    Start {
        /// The last lines it logged.
        log: String,
        /// The log file.
        file: PathBuf,
    },
    /// The stored password is missing or is not that of the server.
    #[error("{} does not contain the server's password: restore it, or delete {} to start over", file.display(), root.display())]
    Password {
        /// The password file.
        file: PathBuf,
        /// The data root.
        root: PathBuf,
    },
    /// The server belongs to another process, so this process must not restart it.
    #[error("the server belongs to another process, and only that process may restart it")]
    NotOwner,
    /// A statement on the server failed.
    #[error("cannot {action}: {source}")]
    Sql {
        /// What was attempted.
        action: &'static str,
        /// The error of the server or driver.
        source: sqlx::Error,
    },
    /// The caller could not prepare a template database.
    #[error("cannot prepare the template database: {0}")]
    Prepare(Box<dyn std::error::Error + Send + Sync>),
}

/// Maps an I/O error to [`Error::Io`].
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// Maps a database error to [`Error::Sql`].
pub(crate) fn sql(action: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |source| Error::Sql { action, source }
}
