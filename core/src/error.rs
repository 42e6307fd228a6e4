//! The error of the domain: a failure that the caller can only report.

use std::panic::Location;
use std::time::Duration;

use crate::transient::{self, Transient};

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
    transient: Option<Transient>,
    is_outcome_unknown: bool,
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
            transient: None,
            is_outcome_unknown: false,
            constraint: None,
        }
    }

    /// What took longer than it may, so that it was given up. Trying again later may help.
    #[track_caller]
    pub fn too_slow(what: &str, limit: Duration) -> Self {
        Self { transient: Some(Transient::Limited), ..Self::new(format!("{what} took longer than {limit:?}")) }
    }

    /// A connection that was lost while it was in use.
    #[track_caller]
    pub fn lost() -> Self {
        Self { transient: Some(Transient::Disconnected), ..Self::new("the connection to the database was lost") }
    }

    /// A copy for another caller that waited for the same operation. Keeps only the text of the source.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            source: self.source.to_string().into(),
            location: self.location,
            transient: self.transient,
            is_outcome_unknown: self.is_outcome_unknown,
            constraint: self.constraint.clone(),
        }
    }

    /// Whether the failure is one of the moment, so that trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        self.transient.is_some()
    }

    /// What is wrong in the moment; `None` if trying again would not help.
    pub fn transient(&self) -> Option<Transient> {
        self.transient
    }

    /// Whether the connection was lost during a commit, so that nobody knows whether it took place.
    pub fn is_outcome_unknown(&self) -> bool {
        self.is_outcome_unknown
    }

    /// A failure of a commit. Unless the database itself has said that it failed, it may have taken place.
    pub(crate) fn of_commit(self, was_refused: bool) -> Self {
        Self { is_outcome_unknown: self.transient.is_some() && !was_refused, ..self }
    }

    /// Whether a lock that another transaction holds was waited for in vain. What is done for others need not wait for it.
    pub fn is_blocked(&self) -> bool {
        self.transient == Some(Transient::Locked)
    }

    /// The name of the constraint that the statement violated; `None` if the failure has another cause.
    pub fn violated_constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }
}

impl From<sqlx::Error> for Error {
    #[track_caller]
    fn from(source: sqlx::Error) -> Self {
        let transient = Transient::of(&source);
        transient::note(transient);
        let constraint = source.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
        Self { transient, constraint, ..Self::new(source) }
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
