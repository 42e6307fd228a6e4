//! The one error type of the crate.

use std::io;
use std::path::{Path, PathBuf};

/// Why the embedded Postgres cannot do what was asked. Each message is one line and says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable server binaries on the machine, and fetching them failed.
    #[error(
        "no PostgreSQL {wanted} server found and download failed ({reason}): install it (Debian: apt-get install postgresql, macOS: brew install postgresql@17) or set DATABASE_URL"
    )]
    NoBinaries {
        /// The version that was looked for, such as `14+` or `15`.
        wanted: String,
        /// Why the download failed.
        reason: String,
    },
    /// The directory named by `CAIRN_POSTGRES_BIN` has no usable server binaries.
    #[error("CAIRN_POSTGRES_BIN={} is not usable ({reason}): name a directory that holds postgres and initdb, or unset it", dir.display())]
    ChosenBinaries {
        /// The directory named.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data was made by another major version than the binaries that `CAIRN_POSTGRES_BIN` names.
    #[error("the data is of PostgreSQL {data}, CAIRN_POSTGRES_BIN={} is {binaries}: name binaries of {data}, or delete the data directory to start over", dir.display())]
    VersionMismatch {
        /// Directory of the binaries.
        dir: PathBuf,
        /// Major version of the binaries.
        binaries: u32,
        /// Major version of the data.
        data: u32,
    },
    /// Another live process runs a server on this data root.
    #[error("{} is already in use by process {pid}: stop that one first", root.display())]
    AlreadyRunning {
        /// The data root.
        root: PathBuf,
        /// Process that runs the server.
        pid: u32,
    },
    /// A former server on this data root does not finish.
    #[error("{} is still held by a former server{}: end it, or remove the directory", root.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Busy {
        /// The data root.
        root: PathBuf,
        /// The former server, where known.
        pid: Option<u32>,
    },
    /// Something in the way belongs to another user, such as after a run as root.
    #[error("{} belongs to user id {owner}, this process needs it to belong to {needed}: run as the user who made it, or delete it to start over", path.display())]
    Ownership {
        /// The file or directory.
        path: PathBuf,
        /// Who it belongs to.
        owner: u32,
        /// Who it must belong to.
        needed: u32,
    },
    /// Root must not run Postgres, and there is no account to run it under.
    #[error(
        "PostgreSQL refuses to run as root and /etc/passwd has no account postgres or nobody: run as an ordinary user"
    )]
    NoAccount,
    /// A file or process operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
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
    /// The stored password is missing or not the server's.
    #[error("{} does not hold the server's password: restore it, or delete {} to start over", file.display(), root.display())]
    Password {
        /// The password file.
        file: PathBuf,
        /// The data root.
        root: PathBuf,
    },
    /// The server belongs to another process, so this one must not restart it.
    #[error("the server belongs to another process, which alone may restart it")]
    NotOwner,
    /// A statement on the server failed.
    #[error("cannot {action}: {source}")]
    Sql {
        /// What was tried.
        action: &'static str,
        /// The server's or driver's answer.
        source: sqlx::Error,
    },
    /// The caller's preparation of a template database failed.
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
