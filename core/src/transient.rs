//! Failures of the moment: those that trying again can help with, and what they say about what has happened.

use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgDatabaseError;
use tokio::time::sleep;

/// Why a failure is one of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transient {
    /// Another transaction was in the way: a deadlock, or a conflict of serializable transactions.
    Conflict,
    /// The connection was lost, or can no longer be used.
    Disconnected,
    /// The session can only read: the server is a standby now, or was told to refuse writes.
    ReadOnly,
    /// The session no longer has our prepared statements, because a pooler gave it to somebody else meanwhile, or has those from
    /// before a migration.
    Outdated,
    /// No connection could be had: the pool or the server has none left, or the server does not answer.
    Unreachable,
    /// A lock was not free in time.
    Locked,
    /// A limit of the connection or of the server was reached: the time of a statement, memory, disk space.
    Limited,
}

impl Transient {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Conflict,
        Self::Disconnected,
        Self::ReadOnly,
        Self::Outdated,
        Self::Unreachable,
        Self::Locked,
        Self::Limited,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Disconnected => "disconnected",
            Self::ReadOnly => "read_only",
            Self::Outdated => "outdated",
            Self::Unreachable => "unreachable",
            Self::Locked => "locked",
            Self::Limited => "limited",
        }
    }

    /// Whether the same transaction may well succeed at once. The others have waited long enough already.
    pub const fn may_succeed_at_once(self) -> bool {
        matches!(self, Self::Conflict | Self::Disconnected | Self::ReadOnly | Self::Outdated)
    }

    /// Whether what was running may be the cause. A statement that always takes too long, or ends the server process that
    /// executes it, must not be tried for ever.
    pub const fn may_be_our_fault(self) -> bool {
        matches!(self, Self::Disconnected | Self::Limited)
    }

    /// What is wrong in the moment; `None` if trying again would not help.
    pub(crate) fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            // While connecting. An established connection ends in other ways.
            sqlx::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => Some(Self::Unreachable),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => Some(Self::Unreachable),
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
                Some(Self::Disconnected)
            }
            sqlx::Error::Database(error) => {
                let routine = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
                error.code().and_then(|code| Self::of_code(&code, routine))
            }
            _ => None,
        }
    }

    /// By SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>). `routine` is the function of the server
    /// that reported it.
    fn of_code(code: &str, routine: Option<&str>) -> Option<Self> {
        match code {
            "40001" | "40P01" => Some(Self::Conflict),
            "25006" => Some(Self::ReadOnly),
            "55P03" => Some(Self::Locked),
            "57014" => Some(Self::Limited),
            // An idle transaction, a transaction as a whole, or an idle session took too long, or the server shuts down, crashed,
            // or cannot say how a commit ended: the connection is gone.
            "25P03" | "25P04" | "57P05" | "57P01" | "57P02" | "57P04" | "40003" => Some(Self::Disconnected),
            "57P03" | "53300" => Some(Self::Unreachable),
            "26000" | "42P05" => Some(Self::Outdated),
            "0A000" if routine == Some("RevalidateCachedQuery") => Some(Self::Outdated),
            _ if code.starts_with("08") => Some(Self::Disconnected),
            _ if code.starts_with("53") => Some(Self::Limited),
            _ if code.starts_with("57P") => Some(Self::Unreachable),
            _ => None,
        }
    }

    /// Whether the session must not be used again, although its connection works.
    const fn ends_session(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Outdated)
    }

    /// Waits until the same transaction gets a new session, if it needs one: a session that began just after others were
    /// replaced may have met the same server in the same state. Takes a quarter of a second at most.
    pub async fn settle(self) {
        if self == Self::ReadOnly {
            sleep(OUTDATE_INTERVAL.saturating_sub(since_outdated())).await;
            outdate_sessions();
        }
    }
}

/// Sessions that began before this moment are not used again. A pool does not tell on which of its sessions a statement failed,
/// but what one of them says of its server holds for all that are as old.
static OUTDATED: Mutex<Option<Instant>> = Mutex::new(None);

/// The shortest time between two such moments, so that a server that refuses writes for long is not asked for new sessions by
/// each request.
const OUTDATE_INTERVAL: Duration = Duration::from_millis(250);

/// When a connection was lost. Others may have been lost with it, so none of them is used without a sign of life for a while.
static LOST: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether a connection was lost within this time.
pub(crate) fn has_lost_within(time: Duration) -> bool {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < time)
}

/// Has the sessions that began until now replaced, if the failure says that they cannot be used.
pub(crate) fn note(transient: Option<Transient>) {
    match transient {
        Some(Transient::Disconnected) => *LOST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now()),
        // A new session has none of the old statements, whatever is changed next.
        Some(Transient::Outdated) => outdate_sessions_again_after(Duration::ZERO),
        Some(reason) if reason.ends_session() => outdate_sessions(),
        _ => {}
    }
}

/// Has the sessions that began until now replaced.
pub(crate) fn outdate_sessions() {
    outdate_sessions_again_after(OUTDATE_INTERVAL);
}

fn outdate_sessions_again_after(interval: Duration) {
    let mut outdated = OUTDATED.lock().unwrap_or_else(PoisonError::into_inner);
    if outdated.is_none_or(|at| at.elapsed() >= interval) {
        *outdated = Some(Instant::now());
    }
}

/// How long ago sessions were outdated the last time.
fn since_outdated() -> Duration {
    OUTDATED.lock().unwrap_or_else(PoisonError::into_inner).map_or(Duration::MAX, |at| at.elapsed())
}

/// Whether a session that began so long ago must be replaced.
pub(crate) fn is_outdated(age: Duration) -> bool {
    let outdated = *OUTDATED.lock().unwrap_or_else(PoisonError::into_inner);
    outdated.is_some_and(|at| at.elapsed() <= age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_moment_is_known() {
        for (expected, codes) in [
            (Transient::Conflict, &["40001", "40P01"][..]),
            (Transient::ReadOnly, &["25006"]),
            (Transient::Locked, &["55P03"]),
            (Transient::Limited, &["57014", "53000", "53100", "53200", "53400"]),
            (
                Transient::Disconnected,
                &["25P03", "25P04", "57P01", "57P02", "57P05", "08000", "08003", "08006", "08P01"],
            ),
            (Transient::Outdated, &["26000", "42P05"]),
            (Transient::Unreachable, &["57P03", "53300"]),
        ] {
            for code in codes {
                assert_eq!(Transient::of_code(code, None), Some(expected), "{code}");
            }
        }
        for code in ["23505", "22P02", "42601", "42501", "0A000", "P0001", "XX000", "25P02"] {
            assert_eq!(Transient::of_code(code, None), None, "{code}");
        }
        assert_eq!(Transient::of_code("0A000", Some("RevalidateCachedQuery")), Some(Transient::Outdated));
    }

    #[test]
    fn every_failure_of_a_connection_is_one_of_the_moment() {
        let io = |kind| sqlx::Error::Io(std::io::Error::from(kind));
        for (error, expected) in [
            (io(ErrorKind::ConnectionRefused), Transient::Unreachable),
            (io(ErrorKind::ConnectionReset), Transient::Disconnected),
            (io(ErrorKind::UnexpectedEof), Transient::Disconnected),
            (io(ErrorKind::TimedOut), Transient::Disconnected),
            (sqlx::Error::Protocol("unexpected message".to_owned()), Transient::Disconnected),
            (sqlx::Error::PoolTimedOut, Transient::Unreachable),
            (sqlx::Error::PoolClosed, Transient::Unreachable),
            (sqlx::Error::WorkerCrashed, Transient::Disconnected),
        ] {
            assert_eq!(Transient::of(&error), Some(expected), "{error}");
        }
        assert_eq!(Transient::of(&sqlx::Error::RowNotFound), None);
    }
}
