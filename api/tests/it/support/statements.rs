//! Lists the statements that are sent to the database, so that a test can hold that their number does not grow.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// Statements that are not the request's own: those by which a new connection looks up types, and notifications, which are sent and
/// listened to in the background. Of what every transaction has, only its commit is counted.
const NOT_COUNTED: [&str; 8] =
    ["LISTEN", "NOTIFY", "notify", "pg_catalog", "pg_type", "regtype", "\"BEGIN", "\"ROLLBACK"];

thread_local! {
    /// What this thread has sent, while it listens.
    static SENT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// What `call` responds with, and the statements that it sent, that which checks the caller's session included. Only for work on
/// the thread of the test.
pub(crate) async fn with_statements<T>(call: impl IntoFuture<Output = T>) -> (T, Vec<String>) {
    // One for the process: of several at once, each for its thread, tracing may believe that nobody wants an event.
    static SUBSCRIBE: Once = Once::new();
    SUBSCRIBE.call_once(|| tracing::subscriber::set_global_default(Statements).unwrap());
    SENT.set(Some(Vec::new()));
    let response = call.into_future().await;
    let sent = SENT.take().unwrap_or_default();
    let is_counted = |statement: &String| !NOT_COUNTED.iter().any(|word| statement.contains(word));
    (response, sent.into_iter().filter(is_counted).collect())
}

/// Receives what sqlx logs of each statement.
struct Statements;

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
        SENT.with_borrow_mut(|sent| {
            if let Some(sent) = sent {
                let mut statement = Statement::default();
                event.record(&mut statement);
                sent.push(statement.0);
            }
        });
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
            write!(self.0, "{value:?}").unwrap();
        }
    }
}
