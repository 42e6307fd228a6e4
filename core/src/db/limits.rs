//! How long statements, waits for locks and open transactions may take, by what a connection is for.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// What connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Requests, which somebody waits for.
    Requests,
    /// Leases of jobs: claims, outcomes and heartbeats. Each finds its rows by an index whatever the planner believes of the size
    /// of a table: a worker plans its statements once, maybe while there are no jobs, and may read many thousand a minute later.
    Leases,
    /// Jobs, which recompute and write many rows at once, for many learners. They wait for locks for a short time only: what is
    /// locked is left for later.
    Batches,
    /// Imports by operators.
    Imports,
    /// Housekeeping, statistics and checks of the whole database.
    Maintenance,
}

/// The limits of a connection. The server enforces all but the last, so they hold for a process that hangs, or is no longer
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A statement that takes longer is ended.
    pub statement: Duration,
    /// A statement that waits longer for a lock is ended. What holds the lock has at most `idle_in_transaction` between two
    /// statements.
    pub lock: Duration,
    /// A transaction in which nothing happens for so long is rolled back, and its connection closed.
    pub idle_in_transaction: Duration,
    /// How long a request or a job may hold connections, for [`super::within`]. A little longer than a statement may take, so
    /// that only what the server can no longer end is ended by the client.
    pub hold: Duration,
}

impl Purpose {
    /// The limits of connections for this purpose.
    pub const fn limits(self) -> Limits {
        match self {
            Self::Requests | Self::Leases => Limits {
                statement: Duration::from_secs(8),
                lock: Duration::from_secs(2),
                idle_in_transaction: Duration::from_secs(10),
                hold: Duration::from_secs(9),
            },
            Self::Batches => Limits {
                statement: Duration::from_secs(15),
                lock: Duration::from_millis(500),
                idle_in_transaction: Duration::from_secs(10),
                hold: Duration::from_secs(18),
            },
            Self::Imports => Limits {
                statement: Duration::from_mins(5),
                lock: Duration::from_secs(10),
                idle_in_transaction: Duration::from_secs(5),
                hold: Duration::from_mins(10),
            },
            Self::Maintenance => Limits {
                statement: Duration::from_hours(1),
                lock: Duration::from_secs(5),
                idle_in_transaction: Duration::from_secs(30),
                hold: Duration::from_hours(2),
            },
        }
    }

    /// The statements that set the server's limits for the rest of a transaction.
    pub(super) fn set_local(self) -> String {
        let Limits { statement, lock, idle_in_transaction, hold: _ } = self.limits();
        let [statement, lock, idle] = [statement, lock, idle_in_transaction].map(milliseconds);
        format!(
            "SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock};
             SET LOCAL idle_in_transaction_session_timeout = {idle}"
        )
    }

    /// The options of connections for this purpose. Of several that are applied, the last counts.
    pub(super) fn apply(self, options: PgConnectOptions) -> PgConnectOptions {
        let Limits { statement, lock, idle_in_transaction, hold: _ } = self.limits();
        options.options([
            ("statement_timeout", milliseconds(statement)),
            ("lock_timeout", milliseconds(lock)),
            ("idle_in_transaction_session_timeout", milliseconds(idle_in_transaction)),
            ("enable_seqscan", if self == Self::Leases { "off" } else { "on" }.to_owned()),
        ])
    }
}

/// The options of all connections.
///
/// - Generic plans are forced: our statements are static and prepared once per connection, and planning the first five
///   executions of each for their values, on every connection, took longer than executing them.
/// - JIT compilation is off: on large tables the estimated cost soon reaches its threshold, and compiling takes longer than
///   the query.
/// - Everything is written for READ COMMITTED, whatever the default of the database is.
/// - The server notices within seconds that a client is gone, and ends what it does for it: the statement of a request that
///   was cancelled waits for no lock any more, and what a lost client had locked is free.
/// - The tables are in the schema `public`, whatever the search path of the role or the database is. Postgres looks into a schema
///   with the name of the role first, which others may have made.
pub(super) const OPTIONS: [(&str, &str); 9] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    ("default_transaction_isolation", "read committed"),
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25000"),
    ("search_path", "public"),
];

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}
