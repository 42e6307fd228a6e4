//! The tree of a roadmap: its stages and their lessons, and a learner's progress in it.
//!
//! What everybody sees ([`Content`]) is read once and may be kept; a learner's [`Progress`] is read by one statement, which
//! also says whether the content is still right. Both together describe one version of the content. The status and counts
//! of stages come from the same source as those of the roadmap: either the stored rollup or a count of the facts.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::catalog::RoadmapNumbers;
use super::course::CompletionRule;
use super::lessons::{Fact, lesson_status};
use super::locks::{self, is_locked};
use super::rules::{LessonStatus, StageCounts, missing_before};
use crate::Result;
use crate::actor::Caller;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// What a roadmap shows to everybody.
#[derive(Clone, Debug)]
pub struct Content {
    /// Identifies the roadmap.
    pub id: Uuid,
    /// The readable identifier; unique among roadmaps.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description.
    pub summary: String,
    /// Whether a stage opens only after every earlier stage with required lessons is completed.
    pub is_sequential: bool,
    /// The visible stages, in order.
    pub stages: Vec<Stage>,
    /// The snapshot in which it was read, as `pg_current_snapshot()` gives it.
    pub(super) snapshot: String,
}

/// A stage as everybody sees it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Identifies the stage.
    pub id: Uuid,
    /// The readable identifier; unique within the roadmap.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description.
    pub summary: String,
    /// The visible lessons, in order.
    pub lessons: Vec<StageLesson>,
}

/// A lesson of a stage as everybody sees it.
#[derive(Clone, Debug)]
pub struct StageLesson {
    /// Identifies the lesson.
    pub id: Uuid,
    /// The readable identifier; unique among lessons.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description.
    pub summary: String,
    /// The expected duration in minutes.
    pub duration_minutes: i32,
    /// Who decides that the lesson is completed.
    pub completion: CompletionRule,
    /// Whether the lesson counts towards completing the stage.
    pub is_required: bool,
    /// Whether the lesson is in other stages, too.
    pub(super) is_elsewhere: bool,
}

/// Reads what a visible roadmap shows to everybody. The connection must be in a snapshot ([`crate::db::Db::snapshot`]).
pub async fn content(snapshot: &mut PgConnection, roadmap_id: Uuid) -> Result<Content, Rejected<NotFound>> {
    let roadmap = sqlx::query!(
        r#"SELECT slug AS "slug!: String", title AS "title!", summary AS "summary!", is_sequential AS "is_sequential!",
                  pg_current_snapshot()::text AS "snapshot!"
           FROM visible_roadmaps WHERE id = $1"#,
        roadmap_id
    );
    let roadmap = roadmap.fetch_optional(&mut *snapshot).await?.or_not_found(Noun::Roadmap)?;
    let stages = sqlx::query!(
        r#"SELECT id AS "id!", slug AS "slug!: String", title AS "title!", summary AS "summary!"
           FROM visible_stages WHERE roadmap_id = $1 ORDER BY position, id"#,
        roadmap_id
    );
    let stages = stages.fetch_all(&mut *snapshot).await?;
    let lessons = sqlx::query!(
        r#"SELECT s.id AS "stage_id!", sl.is_required, l.id AS "id!", l.slug AS "slug!: String", l.title AS "title!",
                  l.summary AS "summary!", l.duration_minutes AS "duration_minutes!",
                  l.completion AS "completion!: CompletionRule",
                  (SELECT count(*) FROM stage_lessons o WHERE o.lesson_id = l.id) > 1 AS "is_elsewhere!"
           FROM visible_stages s
           JOIN stage_lessons sl ON sl.stage_id = s.id
           JOIN visible_lessons l ON l.id = sl.lesson_id
           WHERE s.roadmap_id = $1
           ORDER BY s.position, s.id, sl.position, l.id"#,
        roadmap_id
    );
    let mut by_stage: HashMap<Uuid, Vec<StageLesson>> = HashMap::new();
    for row in lessons.fetch_all(snapshot).await? {
        by_stage.entry(row.stage_id).or_default().push(StageLesson {
            id: row.id,
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            duration_minutes: row.duration_minutes,
            completion: row.completion,
            is_required: row.is_required,
            is_elsewhere: row.is_elsewhere,
        });
    }
    let stages = stages.into_iter().map(|row| Stage {
        lessons: by_stage.remove(&row.id).unwrap_or_default(),
        id: row.id,
        slug: row.slug,
        title: row.title,
        summary: row.summary,
    });
    Ok(Content {
        id: roadmap_id,
        slug: roadmap.slug,
        title: roadmap.title,
        summary: roadmap.summary,
        is_sequential: roadmap.is_sequential,
        stages: stages.collect(),
        snapshot: roadmap.snapshot,
    })
}

/// A learner's progress in a roadmap, its stages and its lessons.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The numbers of the roadmap.
    pub roadmap: RoadmapNumbers,
    /// The numbers of each stage, in the order of the content's stages.
    pub stages: Vec<StageNumbers>,
    /// What the learner did with the lessons that they started.
    pub facts: HashMap<Uuid, Fact>,
    /// The lessons of which every stage is locked.
    pub locked: HashSet<Uuid>,
}

impl Progress {
    /// Nothing is done yet, and everything is open.
    pub(super) fn of_nobody(content: &Content) -> Self {
        let totals =
            content.stages.iter().map(|stage| stage.lessons.iter().filter(|lesson| lesson.is_required).count());
        let stages: Vec<StageNumbers> =
            totals.map(|total| StageNumbers::of_nobody(total.try_into().unwrap_or(i32::MAX))).collect();
        let lessons_total: i32 = stages.iter().map(|stage| stage.lessons_total).sum();
        let stages_total = stages.iter().filter(|stage| stage.lessons_total > 0).count();
        let roadmap = RoadmapNumbers {
            status: LessonStatus::Available,
            percent: (lessons_total > 0).then_some(0),
            lessons_total,
            lessons_completed: 0,
            stages_total: stages_total.try_into().unwrap_or(i32::MAX),
            stages_completed: 0,
            completed_at: None,
            achieved_at: None,
            seq: 0,
            is_current: true,
            is_recalculating: false,
        };
        Self { roadmap, stages, facts: HashMap::new(), locked: HashSet::new() }
    }

    /// The status of a lesson of the roadmap.
    pub fn status(&self, lesson_id: Uuid) -> LessonStatus {
        lesson_status(self.facts.get(&lesson_id).copied(), self.locked.contains(&lesson_id))
    }
}

/// A learner's progress in a stage.
#[derive(Clone, Debug)]
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

impl StageNumbers {
    fn of_nobody(lessons_total: i32) -> Self {
        Self {
            status: LessonStatus::Available,
            percent: (lessons_total > 0).then_some(0),
            lessons_total,
            lessons_completed: 0,
            completed_at: None,
            achieved_at: None,
            missing: Vec::new(),
        }
    }
}

/// A learner's progress in a roadmap with that content; `None` if the content has changed.
pub async fn progress(connection: &mut PgConnection, caller: &Caller, content: &Content) -> Result<Option<Progress>> {
    let stage_ids: Vec<Uuid> = content.stages.iter().map(|stage| stage.id).collect();
    let lesson_ids: Vec<Uuid> =
        content.stages.iter().flat_map(|stage| &stage.lessons).map(|lesson| lesson.id).collect();
    let row = sqlx::query_file!(
        "src/learning/tree_progress.sql",
        caller.user_id,
        content.id,
        content.snapshot,
        &stage_ids,
        &lesson_ids
    );
    let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let roadmap = RoadmapNumbers {
        status: row.status,
        percent: row.percent,
        lessons_total: row.lessons_total,
        lessons_completed: row.lessons_completed,
        stages_total: row.stages_total,
        stages_completed: row.stages_completed,
        completed_at: row.completed_at,
        achieved_at: row.achieved_at,
        seq: row.seq,
        is_current: row.is_current,
        is_recalculating: row.is_recalculating,
    };
    let mut stages: HashMap<Uuid, StageNumbers> = HashMap::with_capacity(stage_ids.len());
    for (n, stage_id) in row.stage_ids.into_iter().enumerate() {
        stages.insert(
            stage_id,
            StageNumbers {
                status: row.stage_statuses[n],
                percent: row.stage_percents[n],
                lessons_total: row.stage_totals[n],
                lessons_completed: row.stage_completed[n],
                completed_at: row.stage_completed_at[n],
                achieved_at: row.stage_achieved_at[n],
                missing: Vec::new(),
            },
        );
    }
    // A stage that has no numbers has no required lessons.
    let stages = stage_ids.iter().map(|id| stages.remove(id).unwrap_or_else(|| StageNumbers::of_nobody(0)));
    let mut progress = Progress { roadmap, stages: stages.collect(), facts: HashMap::new(), locked: HashSet::new() };
    for (n, lesson_id) in row.lesson_ids.into_iter().enumerate() {
        let (started_at, completed_at) = (row.lesson_started_at[n], row.lesson_completed_at[n]);
        progress.facts.insert(lesson_id, Fact { status: row.lesson_statuses[n], started_at, completed_at });
    }
    add_missing(&mut progress.stages, content);
    progress.locked = locked_here(&progress.stages, content);
    let elsewhere = open_elsewhere(connection, caller, content, &progress.locked).await?;
    if elsewhere.is_empty() {
        return Ok(Some(progress));
    }
    progress.locked.retain(|id| !elsewhere.contains(id));
    // Where else a lesson is open was read by a statement of its own.
    Ok(is_unchanged(connection, content).await?.then_some(progress))
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
    let placements = locks::placements(connection, caller, &elsewhere).await?;
    Ok(placements.into_iter().filter(|(_, placements)| !is_locked(placements)).map(|(id, _)| id).collect())
}

async fn is_unchanged(connection: &mut PgConnection, content: &Content) -> Result<bool> {
    let is_unchanged = sqlx::query_scalar!(
        r#"SELECT is_catalog_unchanged($1::text::pg_snapshot) AS "is_unchanged!""#,
        content.snapshot
    );
    Ok(is_unchanged.fetch_one(connection).await?)
}
