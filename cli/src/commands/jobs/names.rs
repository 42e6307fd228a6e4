//! Names of queues, kinds and states as arguments.

use cairn_core::queue::inspect::State;
use cairn_core::queue::{JobKind, Queue};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::failure::Failure;

/// Parses one of a list of names, which help and errors show.
fn one_of<T: Clone + Send + Sync + 'static, const N: usize>(
    names: [&'static str; N],
    find: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names).try_map(move |name| find(&name).ok_or("unknown name"))
}

pub(super) fn queue() -> impl TypedValueParser<Value = Queue> {
    one_of(Queue::ALL.map(Queue::name), Queue::from_name)
}

pub(super) fn kind() -> impl TypedValueParser<Value = JobKind> {
    one_of(JobKind::ALL.map(JobKind::name), JobKind::from_name)
}

pub(super) fn state() -> impl TypedValueParser<Value = State> {
    one_of(State::ALL.map(State::name), State::from_name)
}

/// The error for a kind of job that does not belong to the selected queue.
pub(super) fn elsewhere(kind: Option<JobKind>) -> Failure {
    let fix = kind.map(|kind| format!("jobs of kind {} belong to --queue {}", kind.name(), kind.queue().name()));
    Failure::setup(fix.unwrap_or_default())
}
