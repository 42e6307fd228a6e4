//! The faults that are injected into the platform.

use cairn_core::failpoint;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of a worker at an arbitrary moment; another one starts at once.
    KillWorker,
    /// The same for the API.
    KillApi,
    /// A worker dies at a failpoint.
    WorkerAt(&'static str),
    /// The API dies at a failpoint: right after a commit, before it has answered.
    ApiAt(&'static str),
    /// SIGTERM of a worker, which must drain and exit with 0; another one starts at once.
    StopWorker,
    /// A worker is suspended until its jobs have been given to others, and then resumed.
    FreezeWorker,
    /// Every connection to the database is cut.
    CutConnections,
    /// Postgres is restarted with `-m immediate`, which is a crash.
    RestartPostgres,
    /// The database has no free connection for a while.
    ExhaustConnections,
    /// A transaction holds a snapshot for some time, as a backup does.
    OldSnapshot,
    /// Nothing arrives any more on the connections to the database that exist, and nobody is told. New ones work.
    SilenceConnections,
    /// A transaction that is left open holds a learner, a marker and a lesson for a while.
    HangTransaction,
    /// The database refuses writes for a while, as a primary does that has become a standby. Sessions are ended, or live on.
    RefuseWrites {
        /// Whether sessions are ended, so that new ones begin that cannot write, and outlive the fault.
        ends_sessions: bool,
    },
    /// The clock of the database is set back: what it has stored lies ahead.
    SetClockBack,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 18] = [
        Self::WorkerAt(failpoint::AFTER_CLAIM),
        Self::KillApi,
        Self::FreezeWorker,
        Self::WorkerAt(failpoint::AFTER_EFFECT),
        Self::CutConnections,
        Self::KillWorker,
        Self::WorkerAt(failpoint::AFTER_EXTERNAL_CALL),
        Self::ApiAt(failpoint::AFTER_COMMIT),
        Self::RestartPostgres,
        Self::StopWorker,
        Self::WorkerAt(failpoint::BEFORE_ACK),
        Self::ExhaustConnections,
        Self::OldSnapshot,
        Self::SilenceConnections,
        Self::HangTransaction,
        Self::RefuseWrites { ends_sessions: true },
        Self::SetClockBack,
        Self::RefuseWrites { ends_sessions: false },
    ];

    /// Its name in the report.
    pub fn name(self) -> String {
        match self {
            Self::KillWorker => "worker killed".to_owned(),
            Self::KillApi => "API killed".to_owned(),
            Self::WorkerAt(point) => format!("worker killed {}", point.replace('_', " ")),
            Self::ApiAt(point) => format!("API killed {}", point.replace('_', " ")),
            Self::StopWorker => "worker stopped".to_owned(),
            Self::FreezeWorker => "worker frozen".to_owned(),
            Self::CutConnections => "connections cut".to_owned(),
            Self::RestartPostgres => "Postgres restarted".to_owned(),
            Self::ExhaustConnections => "connections exhausted".to_owned(),
            Self::OldSnapshot => "old snapshot held".to_owned(),
            Self::SilenceConnections => "connections silent".to_owned(),
            Self::HangTransaction => "transaction hung".to_owned(),
            Self::RefuseWrites { ends_sessions: true } => "writes refused, sessions ended".to_owned(),
            Self::RefuseWrites { ends_sessions: false } => "writes refused".to_owned(),
            Self::SetClockBack => "clock set back".to_owned(),
        }
    }

    /// Whether the API and its connections are as before, so that only those whose rows are held may notice anything.
    pub fn spares_the_api(self) -> bool {
        matches!(
            self,
            Self::KillWorker
                | Self::WorkerAt(_)
                | Self::StopWorker
                | Self::FreezeWorker
                | Self::OldSnapshot
                | Self::HangTransaction
                | Self::SetClockBack
        )
    }

    /// Whether it kills a process.
    pub fn is_kill(self) -> bool {
        matches!(self, Self::KillWorker | Self::KillApi | Self::WorkerAt(_) | Self::ApiAt(_))
    }
}

/// An endless sequence of faults. It consists of shuffled rounds in which the common faults occur more often.
pub(crate) fn shuffled_faults(mut random: StdRng) -> impl Iterator<Item = Fault> {
    let common = [Fault::KillWorker, Fault::KillWorker, Fault::KillApi, Fault::KillApi, Fault::RestartPostgres];
    std::iter::repeat_with(move || {
        let mut round: Vec<Fault> = Fault::ALL.into_iter().chain(common).collect();
        round.shuffle(&mut random);
        // A random rotation varies which faults follow each other.
        let cut = random.random_range(0..round.len());
        round.rotate_left(cut);
        round
    })
    .flatten()
}
