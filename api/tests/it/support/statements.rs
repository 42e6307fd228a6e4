//! Counts the statements that are sent to the database, so that a test can hold that their number does not grow.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// Does `work` twice and returns how many statements it sent the second time: the first time, a connection may look up the types
/// that it meets. Only for work on the thread of the test; notifications, which are sent in the background, do not count.
pub(crate) async fn count_statements(work: impl AsyncFn()) -> usize {
    work().await;
    let statements = Statements::default();
    let guard = tracing::subscriber::set_default(statements.clone());
    work().await;
    drop(guard);
    let sent = statements.0.lock().unwrap();
    sent.iter().filter(|statement| !statement.contains("notify")).count()
}

/// What sqlx says of each statement.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut summary = Summary::default();
        event.record(&mut summary);
        self.0.lock().unwrap().push(summary.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Summary(String);

impl Visit for Summary {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "summary" {
            self.0 = format!("{value:?}");
        }
    }
}
