//! What a check can find, and its report.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

/// How many differences of each kind are listed. All are counted.
pub const LISTED: usize = 1000;

/// What a difference is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr, strum::VariantArray, sqlx::Type,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Kind {
    /// A fact whose status contradicts its time of completion.
    FactShape,
    /// A learner's progress in a stage. The stored value is null if the row is missing.
    StageProgress,
    /// A learner's progress in a roadmap. The stored value is null if the row is missing.
    RoadmapProgress,
    /// A learner's overall percentage.
    UserProgress,
    /// The number of likes of a project.
    LikesCount,
    /// The number of likes that a project got in its seven days of the trending rank.
    TrendingLikes,
    /// The number of uses of a library item.
    UseCount,
    /// A number of a quarter of an hour, of which the statistics are sums.
    StatsQuarter,
    /// How many learners were active in a quarter of an hour for the first time of a day or a week.
    ActiveLearners,
    /// The numbers of a lesson.
    LessonStats,
    /// A learner and a roadmap whose rollup is pending.
    ProgressMarker,
    /// A project whose recount is pending.
    LikesMarker,
    /// A project whose trending rank contains likes that are too old.
    TrendingWindow,
    /// A library item with uses that are not counted yet.
    UsesWaiting,
    /// A roadmap whose recomputation after a content change is pending.
    RoadmapRecompute,
    /// A lesson whose tasks changed, and which is not completed yet for those who have nothing left to check.
    TasksMarker,
    /// A job that is not finished. Jobs of the queue `maintenance` are ignored, because they are scheduled continuously.
    JobUnfinished,
    /// A job that used up its attempts.
    JobDead,
    /// A completed reply without its answer, or an answer that belongs to no reply.
    ReplyAnswer,
    /// An open reply without a job that will finish it.
    ReplyWithoutJob,
    /// What a learner spent on a tool on a day, or what is reserved for their open replies.
    AiSpending,
    /// A user whose time of last activity is more than a minute behind the activity log.
    LastActiveAt,
    /// An email address that is stored with another key than the program computes, so that its owner cannot sign in. The
    /// expected value is null if it is no address by the rules of today.
    EmailKey,
    /// A user who deleted their account and about whom something is stored still.
    ErasedUser,
    /// The postings of an object in the search index. Null if there are, or should be, none; otherwise the first words that
    /// differ, with their weights.
    SearchIndex,
    /// A passage of an object in the search index: the beginning of its text. The values are equal if only its words differ.
    SearchPassage,
    /// The number of objects in which a word of the search index occurs.
    SearchWord,
    /// A row of the activity log in the default partition instead of a monthly one.
    ActivityPartition,
}

impl Kind {
    /// All kinds, in the order of reports.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in reports.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A stored value that differs from the expected one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// An object with the ids that identify the value.
    pub ids: Value,
    /// The stored value; null if there is none.
    pub stored: Value,
    /// The expected value; null if there should be none.
    pub expected: Value,
}

/// All differences of one kind. There is at least one.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What the differences are about.
    pub kind: Kind,
    /// The number of differences.
    pub total: i64,
    /// The first [`LISTED`] differences.
    pub differences: Vec<Difference>,
}

/// The result of checking the whole database.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When the first check began, by the clock of the database.
    pub began_at: DateTime<Utc>,
    /// When the last check ended. What was written in between may have been seen or not.
    pub ended_at: DateTime<Utc>,
    /// One entry for each kind with differences, in the order of [`Kind::ALL`].
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether there are no differences.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The number of differences of all kinds together.
    pub fn total(&self) -> i64 {
        self.findings.iter().map(|finding| finding.total).sum()
    }

    /// The differences of one kind; `None` if there are none.
    pub fn of(&self, kind: Kind) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.kind == kind)
    }
}
