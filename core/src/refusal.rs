//! How functions of the domain refuse a request.
//!
//! A function that can refuse returns `Result<T, Rejected<R>>`. The refusal is an error, so `?` returns from the caller and
//! drops its transaction, and no part of a refused request can be committed. An outcome that must be committed although the
//! request is refused (a refresh token that was used twice) is a value instead, as its documentation explains.

use std::fmt;

use crate::Error;
use crate::noun::Noun;

/// Why a request had no effect: it was refused, or it failed.
#[derive(Debug)]
pub enum Rejected<R> {
    /// The request is not possible. The caller is told why.
    Refused(R),
    /// An internal failure.
    Failed(Error),
}

impl<R> Rejected<R> {
    /// Converts the refusal into that of a function that can refuse for more reasons than the one it calls.
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

/// The object does not exist, or the caller may not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound(pub Noun);

/// Turns a missing value into a refusal.
pub trait OrRefuse<T>: Sized {
    /// The value, or `refusal` if there is none.
    fn or_refuse<R>(self, refusal: R) -> Result<T, Rejected<R>>;

    /// The value, or [`NotFound`] for this `noun` if there is none.
    fn or_not_found<R: From<NotFound>>(self, noun: Noun) -> Result<T, Rejected<R>> {
        self.or_refuse(R::from(NotFound(noun)))
    }
}

impl<T> OrRefuse<T> for Option<T> {
    fn or_refuse<R>(self, refusal: R) -> Result<T, Rejected<R>> {
        self.ok_or(Rejected::Refused(refusal))
    }
}

/// Turns the violation of a named constraint into a refusal. Checking a condition with a query before the write would leave
/// a gap between the two.
pub trait OnConstraint<T, R> {
    /// Returns `refusal` if the statement violated the constraint of that name. Can be chained for further constraints.
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
