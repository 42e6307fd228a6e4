//! Counts the statements that a request sends to the database.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Counts what sqlx logs, and nothing else.
struct Statements(Arc<AtomicUsize>);

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &Event<'_>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        if !statement.is_about_types {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What is logged of a statement.
#[derive(Default)]
struct Statement {
    /// Whether sqlx asks for the types of a column, once per connection.
    is_about_types: bool,
}

impl Visit for Statement {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        self.is_about_types |= format!("{value:?}").contains("pg_catalog.");
    }
}

/// What `call` responds with, and how many statements it sent, that which checks the caller's session included.
pub(crate) async fn counted<T>(call: impl IntoFuture<Output = T>) -> (T, usize) {
    let statements = || Statements(Arc::new(AtomicUsize::new(0)));
    // While there is only one subscriber, `tracing` may ask another thread, which has none, whether a log statement is of
    // interest to anybody, and remember its answer.
    let _second = tracing::Dispatch::new(statements());
    let counting = statements();
    let count = counting.0.clone();
    let answer = call.into_future().with_subscriber(counting).await;
    (answer, count.load(Ordering::Relaxed))
}

/// How many statements `work` sends once everything that is looked up once is known.
pub(crate) async fn count_statements(work: impl AsyncFn()) -> usize {
    work().await;
    counted(work()).await.1
}
