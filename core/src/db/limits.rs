//! How long statements, waits for locks and open transactions may take, by what a connection is for.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// What connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Requests, which somebody waits for.
    Requests,
    /// Jobs, which recompute and write many rows at once, and commands of operators.
    Batches,
    /// Housekeeping, statistics and checks of the whole database.
    Maintenance,
}

/// The limits of a connection. The server enforces them, so they hold for a process that hangs, or is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A statement that takes longer is ended.
    pub statement: Duration,
    /// A statement that waits longer for a lock is ended. What holds the lock has at most `idle_in_transaction` between two
    /// statements.
    pub lock: Duration,
    /// A transaction in which nothing happens for so long is rolled back, and its connection closed.
    pub idle_in_transaction: Duration,
}

impl Purpose {
    /// The limits of connections for this purpose.
    pub const fn limits(self) -> Limits {
        match self {
            Self::Requests => Limits {
                statement: Duration::from_secs(30),
                lock: Duration::from_secs(10),
                idle_in_transaction: Duration::from_mins(1),
            },
            Self::Batches => Limits {
                statement: Duration::from_mins(5),
                lock: Duration::from_mins(1),
                idle_in_transaction: Duration::from_mins(5),
            },
            Self::Maintenance => Limits {
                statement: Duration::from_hours(1),
                lock: Duration::from_mins(1),
                idle_in_transaction: Duration::from_mins(10),
            },
        }
    }

    /// The options of connections for this purpose. Of several that are applied, the last counts.
    pub(super) fn apply(self, options: PgConnectOptions) -> PgConnectOptions {
        let Limits { statement, lock, idle_in_transaction } = self.limits();
        options.options([
            ("statement_timeout", milliseconds(statement)),
            ("lock_timeout", milliseconds(lock)),
            ("idle_in_transaction_session_timeout", milliseconds(idle_in_transaction)),
        ])
    }
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}
