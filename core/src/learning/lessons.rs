//! Lessons as learners read them, and [`OpenLesson`], which is required for writing facts about one.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::course::{CompletionRule, MaterialKind};
use super::locks::{self, LessonPlacement, is_locked};
use super::rules::{LessonStatus, StageCounts};
use crate::Result;
use crate::actor::Caller;
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// What a learner did with a lesson.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// [`LessonStatus::InProgress`] or [`LessonStatus::Completed`].
    pub status: LessonStatus,
    /// When it was first started.
    pub started_at: DateTime<Utc>,
    /// When it was completed; `None` unless it is completed now.
    pub completed_at: Option<DateTime<Utc>>,
}

impl Fact {
    /// Builds a fact from the columns of an outer join; `None` if the join found no row.
    pub(super) fn from_columns(
        status: Option<LessonStatus>,
        started_at: Option<DateTime<Utc>>,
        completed_at: Option<DateTime<Utc>>,
    ) -> Option<Self> {
        Some(Self { status: status?, started_at: started_at?, completed_at })
    }
}

/// A lesson with all its content. If it is locked, the content is left empty.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Identifies the lesson.
    pub id: Uuid,
    /// The readable identifier; unique among lessons.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description, visible even while the lesson is locked.
    pub summary: String,
    /// The expected duration in minutes.
    pub duration_minutes: i32,
    /// Who decides that the lesson is completed.
    pub completion: CompletionRule,
    /// The module that the lesson belongs to.
    pub module_id: Uuid,
    /// The title of that module.
    pub module_title: String,
    /// What the caller did with the lesson; `None` if they never started it.
    pub fact: Option<Fact>,
    /// The visible stages that contain the lesson, in order.
    pub placements: Vec<LessonPlacement>,
    /// Whether the lesson is locked for the caller, in which case its content is left out.
    pub is_locked: bool,
    /// Markdown; `None` while the lesson is locked.
    pub body: Option<String>,
    /// `None` if the lesson has no video or is locked.
    pub video_url: Option<String>,
    /// Additional material, in order; empty while the lesson is locked.
    pub materials: Vec<Material>,
    /// Tasks in order, with the caller's check marks; empty while the lesson is locked.
    pub tasks: Vec<Task>,
}

impl Lesson {
    /// The lesson's status for the caller.
    pub fn status(&self) -> LessonStatus {
        lesson_status(self.fact, self.is_locked)
    }
}

/// The status that a lesson is shown with. A lesson that was started or completed is never shown as locked.
pub fn lesson_status(fact: Option<Fact>, is_locked: bool) -> LessonStatus {
    match fact {
        Some(fact) => fact.status,
        None if is_locked => LessonStatus::Locked,
        None => LessonStatus::Available,
    }
}

/// Additional material of a lesson.
#[derive(Clone, Debug)]
pub struct Material {
    /// Identifies the material.
    pub id: Uuid,
    /// What the URL leads to.
    pub kind: MaterialKind,
    /// Shown to learners.
    pub title: String,
    /// An http or https URL.
    pub url: String,
}

/// A task of a lesson.
#[derive(Clone, Debug)]
pub struct Task {
    /// Identifies the task.
    pub id: Uuid,
    /// The readable identifier; unique within the lesson.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// Markdown.
    pub description: String,
    /// Whether the lesson can be completed only after this task, if its rule is `tasks`.
    pub is_required: bool,
    /// When the caller checked the task; `None` if it is not checked.
    pub checked_at: Option<DateTime<Utc>>,
}

/// Finds a visible lesson, with its content unless it is locked for the caller.
pub async fn find(
    connection: &mut PgConnection,
    caller: &Caller,
    lesson_id: Uuid,
) -> Result<Lesson, Rejected<NotFound>> {
    let row = sqlx::query!(
        r#"SELECT l.id AS "id!", l.slug AS "slug!: String", l.title AS "title!", l.summary AS "summary!", l.body AS "body!",
                  l.video_url AS "video_url: String", l.duration_minutes AS "duration_minutes!",
                  l.completion AS "completion!: CompletionRule", m.id AS module_id, m.title AS module_title,
                  f.status AS "status?: LessonStatus", f.started_at AS "started_at?", f.completed_at AS "completed_at?"
           FROM visible_lessons l
           JOIN course_modules m ON m.id = l.module_id
           LEFT JOIN user_lesson_progress f ON f.user_id = $1 AND f.lesson_id = l.id
           WHERE l.id = $2"#,
        caller.user_id,
        lesson_id
    )
    .fetch_optional(&mut *connection)
    .await?
    .or_not_found(Noun::Lesson)?;
    let placements = placements_of(connection, caller, lesson_id).await?;
    let is_locked = is_locked(&placements);
    let (materials, tasks) = if is_locked {
        (Vec::new(), Vec::new())
    } else {
        (materials(connection, lesson_id).await?, tasks(connection, caller, lesson_id).await?)
    };
    Ok(Lesson {
        id: row.id,
        slug: row.slug,
        title: row.title,
        summary: row.summary,
        duration_minutes: row.duration_minutes,
        completion: row.completion,
        module_id: row.module_id,
        module_title: row.module_title,
        fact: Fact::from_columns(row.status, row.started_at, row.completed_at),
        placements,
        is_locked,
        body: (!is_locked).then_some(row.body),
        video_url: row.video_url.filter(|_| !is_locked),
        materials,
        tasks,
    })
}

async fn placements_of(
    connection: &mut PgConnection,
    caller: &Caller,
    lesson_id: Uuid,
) -> Result<Vec<LessonPlacement>> {
    Ok(locks::placements(connection, caller.user_id, &[lesson_id]).await?.remove(&lesson_id).unwrap_or_default())
}

async fn materials(connection: &mut PgConnection, lesson_id: Uuid) -> Result<Vec<Material>> {
    let rows = sqlx::query_as!(
        Material,
        r#"SELECT id, kind AS "kind: MaterialKind", title, url AS "url: String"
           FROM lesson_materials WHERE lesson_id = $1 AND deleted_at IS NULL
           ORDER BY position, id"#,
        lesson_id
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn tasks(connection: &mut PgConnection, caller: &Caller, lesson_id: Uuid) -> Result<Vec<Task>> {
    let rows = sqlx::query_as!(
        Task,
        r#"SELECT t.id, t.slug AS "slug: String", t.title, t.description, t.is_required, p.checked_at AS "checked_at?"
           FROM lesson_tasks t
           LEFT JOIN user_lesson_task_progress p ON p.user_id = $1 AND p.task_id = t.id
           WHERE t.lesson_id = $2 AND t.deleted_at IS NULL
           ORDER BY t.position, t.id"#,
        caller.user_id,
        lesson_id
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Why the caller cannot write a fact about a lesson.
#[derive(Clone, Debug)]
pub enum LessonRefusal {
    /// The lesson does not exist or is not visible to the caller.
    NotFound(NotFound),
    /// Every stage that contains the lesson is locked. Describes the first of them.
    StageLocked {
        /// The title of that stage.
        stage_title: String,
        /// The stages that must be completed first; never empty.
        missing: Vec<StageCounts>,
    },
}

impl From<NotFound> for LessonRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// Proof that a lesson is visible to a caller and not locked, which the functions of [`super::facts`] require. Only
/// [`open`] creates it.
#[derive(Debug)]
pub struct OpenLesson {
    pub(super) caller: Caller,
    pub(super) id: Uuid,
    pub(super) title: String,
    pub(super) completion: CompletionRule,
}

/// Finds a lesson that the caller is about to write a fact about, and checks that it is not locked.
///
/// One statement decides the common cases with a few index reads, however large the roadmap is. It trusts the rollup if
/// that has seen every fact (its marker is clean) and the current content, and otherwise looks for an earlier required
/// lesson that is not completed. Only if neither shows that the lesson is open are all stages counted.
pub async fn open(tx: &mut UserTx, lesson_id: Uuid) -> Result<OpenLesson, Rejected<LessonRefusal>> {
    let caller = tx.caller().clone();
    let lesson = sqlx::query!(
        r#"SELECT l.title AS "title!", l.completion AS "completion!: CompletionRule", EXISTS (
               SELECT FROM stage_lessons sl
               JOIN visible_stages s ON s.id = sl.stage_id
               JOIN visible_roadmaps r ON r.id = s.roadmap_id
               WHERE sl.lesson_id = l.id AND (NOT r.is_sequential OR EXISTS (
                   SELECT FROM user_stage_progress sp, progress_dirty d
                   WHERE sp.user_id = $1 AND sp.stage_id = s.id AND sp.status <> 'locked'
                     AND d.user_id = $1 AND d.roadmap_id = r.id
                     AND d.done_seq = d.requested_seq AND d.done_version = r.content_version
               ) OR NOT EXISTS (
                   SELECT FROM visible_stages earlier
                   JOIN stage_lessons e ON e.stage_id = earlier.id AND e.is_required
                   JOIN visible_lessons v ON v.id = e.lesson_id
                   WHERE earlier.roadmap_id = r.id AND (earlier.position, earlier.id) < (s.position, s.id)
                     AND e.lesson_id NOT IN (
                         SELECT f.lesson_id FROM user_lesson_progress f WHERE f.user_id = $1 AND f.status = 'completed'
                     )))
           ) AS "is_surely_open!"
           FROM visible_lessons l WHERE l.id = $2"#,
        caller.user_id,
        lesson_id
    )
    .fetch_optional(&mut ***tx)
    .await?
    .or_not_found(Noun::Lesson)?;
    let placements = if lesson.is_surely_open { Vec::new() } else { placements_of(tx, &caller, lesson_id).await? };
    let is_locked = is_locked(&placements);
    match placements.into_iter().next() {
        Some(placement) if is_locked => Err(Rejected::Refused(LessonRefusal::StageLocked {
            stage_title: placement.stage_title,
            missing: placement.missing,
        })),
        _ => Ok(OpenLesson { caller, id: lesson_id, title: lesson.title, completion: lesson.completion }),
    }
}

/// Proof that a task belongs to an open lesson and is not deleted. Only [`find_task`] creates it.
#[derive(Debug)]
pub struct OpenTask {
    pub(super) id: Uuid,
    pub(super) title: String,
}

/// Finds a task of the lesson.
pub async fn find_task(
    connection: &mut PgConnection,
    lesson: &OpenLesson,
    task_id: Uuid,
) -> Result<OpenTask, Rejected<NotFound>> {
    let task = sqlx::query_as!(
        OpenTask,
        "SELECT id, title FROM lesson_tasks WHERE id = $1 AND lesson_id = $2 AND deleted_at IS NULL",
        task_id,
        lesson.id
    );
    task.fetch_optional(connection).await?.or_not_found(Noun::Task)
}
