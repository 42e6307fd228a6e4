//! A learner's progress in a roadmap whose content is known.
//!
//! The status and counts of stages come from the same source as those of the roadmap: the stored rollup if it belongs to
//! that content, else a count of the facts.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::catalog::RoadmapNumbers;
use super::counts::{count_roadmap, count_stages};
use super::lessons::{Fact, lesson_status};
use super::locks::{self, is_locked};
use super::rules::{LessonStatus, StageCounts, missing_before, percent};
use super::tree::Content;
use crate::Result;
use crate::actor::Caller;

/// A learner's progress in a roadmap, its stages and its lessons.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The numbers of the roadmap.
    pub roadmap: RoadmapNumbers,
    /// The numbers of each stage, in the order of the content's stages.
    pub stages: Vec<StageNumbers>,
    /// What the learner did with the lessons that they started, perhaps with some of other roadmaps.
    pub facts: HashMap<Uuid, Fact>,
    /// The lessons of which every stage is locked.
    pub locked: HashSet<Uuid>,
}

/// A learner's progress in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageNumbers {
    /// The learner's status.
    pub status: LessonStatus,
    /// Whole percent of the required lessons; `None` if there are none.
    pub percent: Option<i16>,
    /// The number of required lessons.
    pub lessons_total: i32,
    /// How many of them the learner completed.
    pub lessons_completed: i32,
    /// When the stage was completed; `None` unless it is completed now.
    pub completed_at: Option<DateTime<Utc>>,
    /// When the stage was completed for the first time; kept even if it is reopened.
    pub achieved_at: Option<DateTime<Utc>>,
    /// The stages that must be completed first; empty unless this one is locked.
    pub missing: Vec<StageCounts>,
}

/// The rollup as it is stored, which may belong to older content.
#[derive(Debug, Default)]
struct Stored {
    /// `None` if there is no rollup.
    roadmap: Option<RoadmapRow>,
    stages: HashMap<Uuid, StageRow>,
    /// `None` if the learner never did anything in the roadmap.
    marker: Option<Marker>,
}

#[derive(Debug)]
struct RoadmapRow {
    status: LessonStatus,
    lessons_total: i32,
    lessons_completed: i32,
    stages_total: i32,
    stages_completed: i32,
    completed_at: Option<DateTime<Utc>>,
    achieved_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct StageRow {
    status: LessonStatus,
    lessons_total: i32,
    lessons_completed: i32,
    completed_at: Option<DateTime<Utc>>,
    achieved_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug)]
struct Marker {
    requested_seq: i64,
    done_seq: i64,
    done_version: i64,
}

/// A learner's progress in a roadmap with that content; `None` if the content has changed.
pub async fn progress(connection: &mut PgConnection, caller: &Caller, content: &Content) -> Result<Option<Progress>> {
    let Some((stored, facts)) = stored(connection, caller, content).await? else { return Ok(None) };
    let mut progress = Progress::new(content, &stored, facts);
    let elsewhere = open_elsewhere(connection, caller, content, &progress.locked).await?;
    if elsewhere.is_empty() {
        return Ok(Some(progress));
    }
    progress.locked.retain(|id| !elsewhere.contains(id));
    // Where else a lesson is open was read by a statement of its own.
    Ok(is_unchanged(connection, content).await?.then_some(progress))
}

async fn stored(
    connection: &mut PgConnection,
    caller: &Caller,
    content: &Content,
) -> Result<Option<(Stored, HashMap<Uuid, Fact>)>> {
    let (first_stage, last_stage) = range(content.stages.iter().map(|stage| stage.id));
    let (first_lesson, last_lesson) =
        range(content.stages.iter().flat_map(|stage| &stage.lessons).map(|lesson| lesson.id));
    let row = sqlx::query_file!(
        "src/learning/tree_progress.sql",
        caller.user_id,
        content.id,
        content.snapshot,
        first_stage,
        last_stage,
        first_lesson,
        last_lesson
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    let roadmap = row.status.map(|status| RoadmapRow {
        status,
        lessons_total: row.lessons_total.unwrap_or_default(),
        lessons_completed: row.lessons_completed.unwrap_or_default(),
        stages_total: row.stages_total.unwrap_or_default(),
        stages_completed: row.stages_completed.unwrap_or_default(),
        completed_at: row.completed_at,
        achieved_at: row.achieved_at,
    });
    let marker = row.requested_seq.map(|requested_seq| Marker {
        requested_seq,
        done_seq: row.done_seq.unwrap_or_default(),
        done_version: row.done_version.unwrap_or_default(),
    });
    let stages = row.stage_ids.iter().enumerate().map(|(n, &stage_id)| {
        let numbers = StageRow {
            status: row.stage_statuses[n],
            lessons_total: row.stage_totals[n],
            lessons_completed: row.stage_completed[n],
            completed_at: row.stage_completed_at[n],
            achieved_at: row.stage_achieved_at[n],
        };
        (stage_id, numbers)
    });
    let facts = row.lesson_ids.iter().enumerate().map(|(n, &lesson_id)| {
        let (started_at, completed_at) = (row.lesson_started_at[n], row.lesson_completed_at[n]);
        (lesson_id, Fact { status: row.lesson_statuses[n], started_at, completed_at })
    });
    Ok(Some((Stored { roadmap, stages: stages.collect(), marker }, facts.collect())))
}

/// The lowest and the highest of the ids.
fn range(ids: impl Iterator<Item = Uuid> + Clone) -> (Uuid, Uuid) {
    (ids.clone().min().unwrap_or_default(), ids.max().unwrap_or_default())
}

impl Progress {
    /// Nothing is done yet, and everything is open.
    pub(super) fn of_nobody(content: &Content) -> Self {
        let open = Content { is_sequential: false, ..content.clone() };
        Self::new(&open, &Stored::default(), HashMap::new())
    }

    fn new(content: &Content, stored: &Stored, facts: HashMap<Uuid, Fact>) -> Self {
        let (roadmap, mut stages) = match (&stored.roadmap, stored.marker) {
            (Some(roadmap), Some(marker)) if marker.done_version == content.version => {
                (roadmap.numbers(marker), stored_stages(content, stored))
            }
            _ => counted(content, stored, &facts),
        };
        add_missing(&mut stages, content);
        let locked = locked_here(&stages, content);
        Self { roadmap, stages, facts, locked }
    }

    /// The status of a lesson of the roadmap.
    pub fn status(&self, lesson_id: Uuid) -> LessonStatus {
        lesson_status(self.facts.get(&lesson_id).copied(), self.locked.contains(&lesson_id))
    }
}

impl RoadmapRow {
    fn numbers(&self, marker: Marker) -> RoadmapNumbers {
        RoadmapNumbers {
            status: self.status,
            percent: percent(self.lessons_completed, self.lessons_total),
            lessons_total: self.lessons_total,
            lessons_completed: self.lessons_completed,
            stages_total: self.stages_total,
            stages_completed: self.stages_completed,
            completed_at: self.completed_at,
            achieved_at: self.achieved_at,
            seq: marker.done_seq,
            is_current: marker.done_seq == marker.requested_seq,
            is_recalculating: false,
        }
    }
}

/// The numbers of the stages as they are stored. A stage that has none has no required lessons.
fn stored_stages(content: &Content, stored: &Stored) -> Vec<StageNumbers> {
    let numbers = |row: &StageRow| StageNumbers {
        status: row.status,
        percent: percent(row.lessons_completed, row.lessons_total),
        lessons_total: row.lessons_total,
        lessons_completed: row.lessons_completed,
        completed_at: row.completed_at,
        achieved_at: row.achieved_at,
        missing: Vec::new(),
    };
    let none = StageNumbers {
        status: LessonStatus::Available,
        percent: None,
        lessons_total: 0,
        lessons_completed: 0,
        completed_at: None,
        achieved_at: None,
        missing: Vec::new(),
    };
    content.stages.iter().map(|stage| stored.stages.get(&stage.id).map_or_else(|| none.clone(), numbers)).collect()
}

/// The numbers counted from the facts. When something was completed is kept from the stored rollup.
fn counted(content: &Content, stored: &Stored, facts: &HashMap<Uuid, Fact>) -> (RoadmapNumbers, Vec<StageNumbers>) {
    let counts = count_stages(content, facts);
    let stages = content.stages.iter().zip(&counts).map(|(stage, count)| {
        let row = stored.stages.get(&stage.id);
        let completed_at = row.and_then(|row| row.completed_at).or(count.completed_at);
        StageNumbers {
            status: count.status,
            percent: percent(count.lessons_completed, count.lessons_total),
            lessons_total: count.lessons_total,
            lessons_completed: count.lessons_completed,
            completed_at: completed_at.filter(|_| count.status == LessonStatus::Completed),
            achieved_at: row.and_then(|row| row.achieved_at).or(count.completed_at),
            missing: Vec::new(),
        }
    });
    let count = count_roadmap(&counts);
    let (row, marker) = (stored.roadmap.as_ref(), stored.marker);
    let completed_at = row.and_then(|row| row.completed_at).or(count.completed_at);
    let roadmap = RoadmapNumbers {
        status: count.status,
        percent: percent(count.lessons_completed, count.lessons_total),
        lessons_total: count.lessons_total,
        lessons_completed: count.lessons_completed,
        stages_total: count.stages_total,
        stages_completed: count.stages_completed,
        completed_at: completed_at.filter(|_| count.status == LessonStatus::Completed),
        achieved_at: row.and_then(|row| row.achieved_at).or(count.completed_at),
        seq: marker.map_or(0, |marker| marker.requested_seq),
        is_current: true,
        is_recalculating: marker.is_some_and(|marker| marker.done_version < content.version),
    };
    (roadmap, stages.collect())
}

/// Adds to each locked stage what locks it.
fn add_missing(stages: &mut [StageNumbers], content: &Content) {
    if stages.iter().all(|stage| stage.status != LessonStatus::Locked) {
        return;
    }
    let counts: Vec<StageCounts> = stages
        .iter()
        .zip(&content.stages)
        .map(|(numbers, stage)| StageCounts {
            stage_id: stage.id,
            title: stage.title.clone(),
            lessons_total: numbers.lessons_total,
            lessons_completed: numbers.lessons_completed,
        })
        .collect();
    for (index, stage) in stages.iter_mut().enumerate() {
        if stage.status == LessonStatus::Locked {
            stage.missing = missing_before(content.is_sequential, &counts, index);
        }
    }
}

/// The lessons of which every stage in this roadmap is locked.
fn locked_here(stages: &[StageNumbers], content: &Content) -> HashSet<Uuid> {
    let lessons_of = |is_locked: bool| {
        let stages = stages.iter().zip(&content.stages);
        let stages = stages.filter(move |(numbers, _)| (numbers.status == LessonStatus::Locked) == is_locked);
        stages.flat_map(|(_, stage)| &stage.lessons).map(|lesson| lesson.id)
    };
    let mut locked: HashSet<Uuid> = lessons_of(true).collect();
    if !locked.is_empty() {
        lessons_of(false).for_each(|id| _ = locked.remove(&id));
    }
    locked
}

/// The lessons that are locked in this roadmap but open in a stage of another one.
async fn open_elsewhere(
    connection: &mut PgConnection,
    caller: &Caller,
    content: &Content,
    locked: &HashSet<Uuid>,
) -> Result<HashSet<Uuid>> {
    let lessons = content.stages.iter().flat_map(|stage| &stage.lessons);
    let elsewhere: Vec<Uuid> =
        lessons.filter(|lesson| lesson.is_elsewhere && locked.contains(&lesson.id)).map(|lesson| lesson.id).collect();
    if elsewhere.is_empty() {
        return Ok(HashSet::new());
    }
    let placements = locks::placements(connection, caller.user_id, &elsewhere).await?;
    Ok(placements.into_iter().filter(|(_, placements)| !is_locked(placements)).map(|(id, _)| id).collect())
}

async fn is_unchanged(connection: &mut PgConnection, content: &Content) -> Result<bool> {
    let is_unchanged = sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT FROM catalog_changes_since($1::text::pg_snapshot)) AS "is_unchanged!""#,
        content.snapshot
    );
    Ok(is_unchanged.fetch_one(connection).await?)
}
