//! The one error of the domain: something that the caller can do nothing about but report.

use std::panic::Location;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An internal failure, with its source and the place where it surfaced.
///
/// Outcomes that a user can cause (not found, conflict, locked) are values, never this. The edge logs it once and shows
/// the client a code and the request id.
#[derive(Debug, thiserror::Error)]
#[error("{source} (at {location})")]
pub struct Error {
    source: Box<dyn std::error::Error + Send + Sync>,
    location: &'static Location<'static>,
    unavailable: bool,
    constraint: Option<String>,
}

impl Error {
    /// A failure with a message of its own.
    #[track_caller]
    pub fn message(message: impl Into<String>) -> Self {
        Self::new(message.into())
    }

    #[track_caller]
    fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: source.into(), location: Location::caller(), unavailable: false, constraint: None }
    }

    /// The same failure, for another who waited for what failed. Only the text of its source is kept.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            source: self.source.to_string().into(),
            location: self.location,
            unavailable: self.unavailable,
            constraint: self.constraint.clone(),
        }
    }

    /// Whether the database could not be reached or had no connection to give: trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }

    /// The name of the constraint that a statement ran into, if that is what failed.
    pub fn violated_constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }
}

impl From<sqlx::Error> for Error {
    #[track_caller]
    fn from(source: sqlx::Error) -> Self {
        let unavailable = is_unavailable(&source);
        let constraint = source.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
        Self { unavailable, constraint, ..Self::new(source) }
    }
}

impl From<serde_json::Error> for Error {
    #[track_caller]
    fn from(source: serde_json::Error) -> Self {
        Self::new(source)
    }
}

impl From<prometheus::Error> for Error {
    #[track_caller]
    fn from(source: prometheus::Error) -> Self {
        Self::new(source)
    }
}

impl From<tokio::task::JoinError> for Error {
    #[track_caller]
    fn from(source: tokio::task::JoinError) -> Self {
        Self::new(source)
    }
}

/// Connection lost, refused or not to be had. SQLSTATE classes: 08 connection, 53 out of resources, 57P shutdown
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("53") || code.starts_with("57P"))
        }
        _ => false,
    }
}
