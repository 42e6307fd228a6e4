//! Recomputes every derived value from scratch and tells where the stored one differs.
//!
//! Set-based, read-only, in one snapshot, so it can run on a live database. The expected numbers of learners are computed
//! by SQL of its own (`progress.sql`), independent of the rollup, so that each checks the other.

mod checks;

use serde::Serialize;
use serde_json::Value;
use sqlx::{Connection, PgPool};

use crate::Result;

/// Most differences listed of each kind. All are counted.
pub const LISTED: usize = 1000;

/// Whether work may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The queues are empty: everything must be settled.
    Strict,
    /// Passes over what waits for a job that is still to run: learners and projects with markers, roadmaps that are being
    /// recomputed, jobs that are not dead.
    WhileRunning,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A fact whose status and time contradict each other.
    FactShape,
    /// A learner's numbers of a stage; nothing stored = the row is missing.
    StageProgress,
    /// A learner's numbers of a roadmap; nothing stored = the row is missing.
    RoadmapProgress,
    /// A learner's percent over everything started.
    UserProgress,
    /// A project's number of likes.
    LikesCount,
    /// How often an item of the libraries was used.
    UseCount,
    /// A learner's roadmap that waits to be rolled up.
    ProgressMarker,
    /// A project that waits to be recounted.
    LikesMarker,
    /// An item of the libraries with uses that wait to be counted.
    UsesWaiting,
    /// A roadmap whose content changed and that waits to be recomputed.
    RoadmapRecompute,
    /// A job that is not finished. Those of `maintenance` come and go all the time and do not count.
    JobUnfinished,
    /// A job that has given up.
    JobDead,
    /// A completed reply without its message, or a message of the assistant that no reply knows.
    ReplyAnswer,
    /// An open reply that no job will finish.
    ReplyWithoutJob,
    /// A user whose time of last activity is more than a minute behind the activity log.
    LastActiveAt,
    /// A row of the activity log that no monthly partition took.
    ActivityPartition,
}

impl Kind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 16] = [
        Self::FactShape,
        Self::StageProgress,
        Self::RoadmapProgress,
        Self::UserProgress,
        Self::LikesCount,
        Self::UseCount,
        Self::ProgressMarker,
        Self::LikesMarker,
        Self::UsesWaiting,
        Self::RoadmapRecompute,
        Self::JobUnfinished,
        Self::JobDead,
        Self::ReplyAnswer,
        Self::ReplyWithoutJob,
        Self::LastActiveAt,
        Self::ActivityPartition,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FactShape => "fact_shape",
            Self::StageProgress => "stage_progress",
            Self::RoadmapProgress => "roadmap_progress",
            Self::UserProgress => "user_progress",
            Self::LikesCount => "likes_count",
            Self::UseCount => "use_count",
            Self::ProgressMarker => "progress_marker",
            Self::LikesMarker => "likes_marker",
            Self::UsesWaiting => "uses_waiting",
            Self::RoadmapRecompute => "roadmap_recompute",
            Self::JobUnfinished => "job_unfinished",
            Self::JobDead => "job_dead",
            Self::ReplyAnswer => "reply_answer",
            Self::ReplyWithoutJob => "reply_without_job",
            Self::LastActiveAt => "last_active_at",
            Self::ActivityPartition => "activity_partition",
        }
    }
}

/// A stored value that is not what follows from the rest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What it is about: an object of ids.
    pub ids: Value,
    /// What is stored; null = nothing.
    pub stored: Value,
    /// What should be; null = nothing.
    pub expected: Value,
}

/// All differences of one kind; at least one.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which kind.
    pub kind: Kind,
    /// How many there are.
    pub total: i64,
    /// The first [`LISTED`] of them.
    pub differences: Vec<Difference>,
}

/// What a check of the whole database found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One entry for each kind of which there are differences.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing differs.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The number of differences of all kinds.
    pub fn total(&self) -> i64 {
        self.findings.iter().map(|finding| finding.total).sum()
    }

    /// The differences of a kind, if there are any.
    pub fn of(&self, kind: Kind) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.kind == kind)
    }
}

/// Checks the whole database in one snapshot.
pub async fn verify(pool: &PgPool, mode: Mode) -> Result<Report> {
    let mut connection = pool.acquire().await?;
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    checks::plan_for_everything(&mut snapshot).await?;
    let rows = checks::all(&mut snapshot, mode).await?;
    snapshot.rollback().await?;
    let mut findings: Vec<Finding> = Vec::new();
    for kind in Kind::ALL {
        let of_kind: Vec<_> = rows.iter().filter(|row| row.kind == kind.name()).collect();
        let Some(first) = of_kind.first() else { continue };
        let total = first.total;
        let differences = of_kind
            .into_iter()
            .map(|row| Difference {
                ids: row.ids.clone(),
                stored: row.stored.clone().unwrap_or_default(),
                expected: row.expected.clone().unwrap_or_default(),
            })
            .collect();
        findings.push(Finding { kind, total, differences });
    }
    Ok(Report { findings })
}
