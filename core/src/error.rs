//! The error of the domain: a failure that the caller can only report.

use std::panic::Location;
use std::time::Duration;

/// The result of a function that can fail but not refuse.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An internal failure, with its source and the place where it occurred.
///
/// What a user can cause (not found, conflict, locked) is a refusal and never an `Error`. The outermost layer logs the error
/// once and shows the client only a code and the id of the request.
#[derive(Debug, thiserror::Error)]
#[error("{source} (at {location})")]
pub struct Error {
    source: Box<dyn std::error::Error + Send + Sync>,
    location: &'static Location<'static>,
    unavailable: bool,
    blocked: bool,
    constraint: Option<String>,
}

impl Error {
    /// A failure that has no other error as its source.
    #[track_caller]
    pub fn message(message: impl Into<String>) -> Self {
        Self::new(message.into())
    }

    #[track_caller]
    fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
            location: Location::caller(),
            unavailable: false,
            blocked: false,
            constraint: None,
        }
    }

    /// What took longer than it may, so that it was given up. Trying again later may help.
    #[track_caller]
    pub fn too_slow(what: &str, limit: Duration) -> Self {
        Self { unavailable: true, ..Self::new(format!("{what} took longer than {limit:?}")) }
    }

    /// A connection that was lost while it was in use.
    #[track_caller]
    pub fn lost() -> Self {
        Self { unavailable: true, ..Self::new("the connection to the database was lost") }
    }

    /// A copy for another caller that waited for the same operation. Keeps only the text of the source.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            source: self.source.to_string().into(),
            location: self.location,
            unavailable: self.unavailable,
            blocked: self.blocked,
            constraint: self.constraint.clone(),
        }
    }

    /// Whether the database could not be reached, no connection was free, or a statement took longer than it may, so that
    /// trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }

    /// Whether a lock that another transaction holds was waited for in vain. What is done for others need not wait for it.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The name of the constraint that the statement violated; `None` if the failure has another cause.
    pub fn violated_constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }
}

impl From<sqlx::Error> for Error {
    #[track_caller]
    fn from(source: sqlx::Error) -> Self {
        let unavailable = is_unavailable(&source);
        let constraint = source.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
        let blocked = source.as_database_error().and_then(|error| error.code()).as_deref() == Some(LOCK_NOT_AVAILABLE);
        Self { unavailable, blocked, constraint, ..Self::new(source) }
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

/// The SQLSTATE of a wait for a lock that took too long.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// SQLSTATEs of what the limits of a connection end: a statement, a wait for a lock, an idle transaction.
const LIMITS: [&str; 3] = ["57014", LOCK_NOT_AVAILABLE, "25P03"];

/// Whether the connection was lost, refused or not available, or its limits were reached. SQLSTATE classes: 08 connection
/// exception, 53 insufficient resources, 57P shutdown (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let is_passing = |code: &str| ["08", "53", "57P"].iter().any(|class| code.starts_with(class));
            error.code().is_some_and(|code| is_passing(&code) || LIMITS.contains(&&*code))
        }
        _ => false,
    }
}
