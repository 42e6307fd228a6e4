//! How commands fail: one line on standard error that says what to do, and an exit code.

use std::io;
use std::process::ExitCode;

use cairn_api::ServeError;
use cairn_core::config::ConfigError;
use cairn_core::db::MigrateError;
use cairn_core::program::{self, refusal_of_connection};
use cairn_core::schema::printable;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Usage or configuration: exit code 2.
    Setup(String),
    /// Anything else: exit code 1.
    Failed(String),
    /// The failure has been reported already: exit code 1.
    AlreadyReported,
    /// It is done, but something was left out: exit code 3.
    LeftOut(String),
    /// The reader of our output has closed it, which is not a failure: exit code 0.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self::Setup(message.into())
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// Prints the message and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::Setup(message) => (message, 2),
            Self::Failed(message) => (message, 1),
            Self::LeftOut(message) => (message, 3),
            Self::AlreadyReported => return ExitCode::from(1),
            Self::BrokenPipe => return ExitCode::SUCCESS,
        };
        // Kept on one line, whatever the message of a driver contains.
        let line = message.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>();
        program::report("cairn", &printable(&line.join(" ")), code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Setup(error.to_string())
    }
}

impl From<cairn_core::Error> for Failure {
    fn from(error: cairn_core::Error) -> Self {
        if let Some(refusal) = refusal_of_connection(&error) {
            return Self::Setup(refusal);
        }
        if error.is_unavailable() {
            return Self::Failed(format!("the database does not answer ({error}): run `cairn doctor` for details"));
        }
        Self::Failed(error.to_string())
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        if let Some(refusal) = refusal_of_connection(&error) {
            return Self::Setup(refusal);
        }
        match error {
            MigrateError::Squashed(_)
            | MigrateError::Newer(_)
            | MigrateError::Changed(_)
            | MigrateError::Unfinished(_)
            | MigrateError::Foreign(_) => Self::Setup(error.to_string()),
            MigrateError::Failed(_) => Self::Failed(format!("cannot migrate the database: {error}")),
            MigrateError::Unreachable(_) => Self::Failed(format!("the database cannot be used: {error}")),
        }
    }
}

impl From<cairn_postgres::Error> for Failure {
    fn from(error: cairn_postgres::Error) -> Self {
        Self::Failed(format!("embedded database: {error}"))
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error.into() {
            program::Failure::Setup(message) => Self::Setup(message),
            program::Failure::Failed(message) => Self::Failed(message),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::BrokenPipe } else { Self::Failed(error.to_string()) }
    }
}
