//! What is found, line by line.

use crate::failure::Failure;
use crate::output::print_line;

/// Whether something is as it should be, and what to do if not.
pub(super) enum Verdict {
    Good(String),
    /// Worth knowing, but not a failure.
    Note(String),
    Bad(String),
}
pub(super) use Verdict::{Bad, Good, Note};

/// What was reported so far.
#[derive(Default)]
pub(super) struct Report {
    /// Whether anything was bad.
    pub(super) failed: bool,
}

impl Report {
    pub(super) fn add(&mut self, what: &str, verdict: &Verdict) -> Result<(), Failure> {
        let (mark, text) = match verdict {
            Good(text) => ("ok  ", text),
            Note(text) => ("note", text),
            Bad(text) => ("FAIL", text),
        };
        self.failed |= matches!(verdict, Bad(_));
        print_line(&format!("{mark}  {what:<10}  {}", text.replace(['\n', '\r'], " ")))
    }
}
