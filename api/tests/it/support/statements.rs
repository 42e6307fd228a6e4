//! Counts the statements that a request sends to the database.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Metadata, Subscriber};

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

/// What `call` answers, and how many statements it took, that which checks the caller's session included.
pub(crate) async fn counted<T>(call: impl IntoFuture<Output = T>) -> (T, usize) {
    // While there is only one subscriber, `tracing` asks that of the current thread once whether a log statement is of
    // interest, and remembers the answer for all threads. A test on another thread would then switch the count off.
    let _second = Dispatch::new(NoSubscriber::default());
    let count = Arc::new(AtomicUsize::new(0));
    let answer = call.into_future().with_subscriber(Statements(count.clone())).await;
    (answer, count.load(Ordering::Relaxed))
}
