//! The one way in which the domain says no.
//!
//! A function that can refuse what it is asked for returns `Result<T, Rejected<R>>`. The refusal is an error, so that `?`
//! leaves the caller and drops its transaction: nothing of what was refused can be committed. An outcome that must be
//! committed although the caller gets nothing (a reused refresh token) is a value instead, and its name says so.

use std::fmt;

use crate::Error;
use crate::activity::Noun;

/// Why nothing was done: what was asked for is not possible, or it failed.
#[derive(Debug)]
pub enum Rejected<R> {
    /// The caller asked for something that cannot be, and is told why.
    Refused(R),
    /// Something broke that the caller can do nothing about.
    Failed(Error),
}

impl<R> Rejected<R> {
    /// The same with a wider refusal, for a function that can refuse for more reasons than the one it calls.
    pub fn widen<S: From<R>>(self) -> Rejected<S> {
        match self {
            Self::Refused(refusal) => Rejected::Refused(refusal.into()),
            Self::Failed(error) => Rejected::Failed(error),
        }
    }
}

impl<R: fmt::Debug> fmt::Display for Rejected<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<R: fmt::Debug> std::error::Error for Rejected<R> {}

impl<R> From<Error> for Rejected<R> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<R> From<sqlx::Error> for Rejected<R> {
    #[track_caller]
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl<R> From<serde_json::Error> for Rejected<R> {
    #[track_caller]
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// There is no such thing, or none that the caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound(pub Noun);

/// Turns an absent value into a refusal.
pub trait OrRefuse<T>: Sized {
    /// The value, or else `refusal`.
    fn or_refuse<R>(self, refusal: R) -> Result<T, Rejected<R>>;

    /// The value, or else the refusal that there is no such `noun`.
    fn or_not_found<R: From<NotFound>>(self, noun: Noun) -> Result<T, Rejected<R>> {
        self.or_refuse(R::from(NotFound(noun)))
    }
}

impl<T> OrRefuse<T> for Option<T> {
    fn or_refuse<R>(self, refusal: R) -> Result<T, Rejected<R>> {
        self.ok_or(Rejected::Refused(refusal))
    }
}

/// Maps the named constraints that a statement may run into to refusals, so that nothing is tested first and written then.
pub trait OnConstraint<T, R> {
    /// The refusal, if what failed is the constraint of that name. Can be repeated for further constraints.
    fn on_constraint(self, constraint: &str, refusal: R) -> Result<T, Rejected<R>>;
}

impl<T, R> OnConstraint<T, R> for Result<T, sqlx::Error> {
    #[track_caller]
    fn on_constraint(self, constraint: &str, refusal: R) -> Result<T, Rejected<R>> {
        self.map_err(Rejected::from).on_constraint(constraint, refusal)
    }
}

impl<T, R> OnConstraint<T, R> for Result<T, Rejected<R>> {
    fn on_constraint(self, constraint: &str, refusal: R) -> Result<T, Rejected<R>> {
        match self {
            Err(Rejected::Failed(error)) if error.violated_constraint() == Some(constraint) => {
                Err(Rejected::Refused(refusal))
            }
            result => result,
        }
    }
}
