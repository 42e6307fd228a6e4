//! Counts the statements that are sent to the database, so that a test can hold that their number does not grow.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// Statements that are not the request's own: those by which a new connection looks up types, and notifications, which are sent in
/// the background.
const NOT_COUNTED: [&str; 4] = ["notify", "pg_catalog", "pg_type", "regtype"];

/// Does `work` and returns how many statements it sent. Only for work on the thread of the test.
pub(crate) async fn count_statements(work: impl AsyncFn()) -> usize {
    let statements = Statements::default();
    let guard = tracing::subscriber::set_default(statements.clone());
    work().await;
    drop(guard);
    let sent = statements.0.lock().unwrap();
    sent.iter().filter(|statement| !NOT_COUNTED.iter().any(|word| statement.contains(word))).count()
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
        let mut statement = Statement::default();
        event.record(&mut statement);
        self.0.lock().unwrap().push(statement.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The text of a statement: of a long one sqlx says the beginning and the whole.
#[derive(Default)]
struct Statement(String);

impl Visit for Statement {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if ["summary", "db.statement"].contains(&field.name()) {
            self.0.push_str(&format!("{value:?}"));
        }
    }
}
