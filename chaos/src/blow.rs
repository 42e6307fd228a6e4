//! What can happen to the platform.

use cairn_core::failpoint;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// One blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// SIGKILL of a worker at any moment; another starts at once.
    KillWorker,
    /// The same for the API.
    KillApi,
    /// A worker dies at a named place.
    WorkerAt(&'static str),
    /// The API dies right after a commit, before it has answered.
    ApiAt(&'static str),
    /// SIGTERM of a worker; another starts at once. It must drain and exit with 0.
    StopWorker,
    /// A worker is frozen until its jobs have been given to others, and then goes on.
    FreezeWorker,
    /// Every connection to the database is cut.
    CutConnections,
    /// Postgres is restarted with `-m immediate`, which is a crash.
    RestartPostgres,
    /// The database has no connection left to give for a while.
    ExhaustConnections,
}

impl Blow {
    /// Each once.
    pub const ALL: [Self; 12] = [
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
    ];

    /// What the table calls it.
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
        }
    }

    /// Whether a process was killed.
    pub fn is_kill(self) -> bool {
        matches!(self, Self::KillWorker | Self::KillApi | Self::WorkerAt(_) | Self::ApiAt(_))
    }
}

/// Blows without end: decks that hold the common ones more often, each shuffled.
pub(crate) fn dealt(mut random: StdRng) -> impl Iterator<Item = Blow> {
    let often = [Blow::KillWorker, Blow::KillWorker, Blow::KillApi, Blow::KillApi, Blow::RestartPostgres];
    std::iter::repeat_with(move || {
        let mut deck: Vec<Blow> = Blow::ALL.into_iter().chain(often).collect();
        deck.shuffle(&mut random);
        // The same deck twice would be no harm, but an odd cut brings other neighbours together.
        let cut = random.random_range(0..deck.len());
        deck.rotate_left(cut);
        deck
    })
    .flatten()
}
