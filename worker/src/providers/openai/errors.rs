//! The texts of errors.

use cairn_core::config::Secret;

use super::super::answer::Failure;

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Removes the key, which providers quote in their errors.
pub(super) fn without_key(mut failure: Failure, key: Option<&Secret>) -> Failure {
    if let Some(key) = key {
        failure.detail = failure.detail.replace(key.expose(), "[redacted]");
    }
    failure
}
