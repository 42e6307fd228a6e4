//! Lessons as learners read them, and the key to writing about one: an [`OpenLesson`].

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::course::{CompletionRule, MaterialKind};
use super::locks::{self, Place, is_locked};
use super::rules::{LessonStatus, StageCounts};
use crate::Result;
use crate::activity::Noun;
use crate::actor::Caller;
use crate::db::UserTx;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// What a learner did with a lesson.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// [`LessonStatus::InProgress`] or [`LessonStatus::Completed`].
    pub status: LessonStatus,
    /// When it was first started.
    pub started_at: DateTime<Utc>,
    /// When it was completed; set while it is.
    pub completed_at: Option<DateTime<Utc>>,
}

impl Fact {
    /// A fact from columns that an outer join may leave empty.
    pub(super) fn from_columns(
        status: Option<LessonStatus>,
        started_at: Option<DateTime<Utc>>,
        completed_at: Option<DateTime<Utc>>,
    ) -> Option<Self> {
        Some(Self { status: status?, started_at: started_at?, completed_at })
    }
}

/// A lesson with everything about it. What a locked one withholds is left empty.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Id.
    pub id: Uuid,
    /// Name in addresses.
    pub slug: String,
    /// Title.
    pub title: String,
    /// What it is about.
    pub summary: String,
    /// How long it takes, in minutes.
    pub duration_minutes: i32,
    /// How it is completed.
    pub completion: CompletionRule,
    /// The module it belongs to.
    pub module_id: Uuid,
    /// Title of the module.
    pub module_title: String,
    /// What the caller did; none = never touched.
    pub fact: Option<Fact>,
    /// Where it stands.
    pub places: Vec<Place>,
    /// Whether it is locked for the caller: then there is no content.
    pub is_locked: bool,
    /// Markdown.
    pub body: Option<String>,
    /// Address of the video.
    pub video_url: Option<String>,
    /// What goes with it, in order.
    pub materials: Vec<Material>,
    /// What there is to do, in order, with the caller's ticks.
    pub tasks: Vec<Task>,
}

impl Lesson {
    /// The lesson's status for the caller.
    pub fn status(&self) -> LessonStatus {
        lesson_status(self.fact, self.is_locked)
    }
}

/// The status that a lesson is shown with: what was done counts more than a lock.
pub fn lesson_status(fact: Option<Fact>, is_locked: bool) -> LessonStatus {
    match fact {
        Some(fact) => fact.status,
        None if is_locked => LessonStatus::Locked,
        None => LessonStatus::Available,
    }
}

/// Something that goes with a lesson.
#[derive(Clone, Debug)]
pub struct Material {
    /// Id.
    pub id: Uuid,
    /// What it is.
    pub kind: MaterialKind,
    /// Title.
    pub title: String,
    /// Address.
    pub url: String,
}

/// Something to do in a lesson.
#[derive(Clone, Debug)]
pub struct Task {
    /// Id.
    pub id: Uuid,
    /// Name inside the lesson.
    pub slug: String,
    /// Title.
    pub title: String,
    /// Markdown.
    pub description: String,
    /// Whether the lesson's completion waits for it.
    pub is_required: bool,
    /// When the caller ticked it; none = not ticked.
    pub checked_at: Option<DateTime<Utc>>,
}

/// A lesson as the caller may see it.
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
    let places = places_of(connection, caller, lesson_id).await?;
    let is_locked = is_locked(&places);
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
        places,
        is_locked,
        body: (!is_locked).then_some(row.body),
        video_url: row.video_url.filter(|_| !is_locked),
        materials,
        tasks,
    })
}

async fn places_of(connection: &mut PgConnection, caller: &Caller, lesson_id: Uuid) -> Result<Vec<Place>> {
    Ok(locks::places(connection, caller, &[lesson_id]).await?.remove(&lesson_id).unwrap_or_default())
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

/// Why the caller cannot write about a lesson now.
#[derive(Clone, Debug)]
pub enum LessonRefusal {
    /// There is no such lesson for the caller.
    NotFound(NotFound),
    /// It is locked in every stage that it stands in. Names the first such stage and what it waits for.
    StageLocked {
        /// The stage.
        stage_title: String,
        /// What it waits for; not empty.
        missing: Vec<StageCounts>,
    },
}

impl From<NotFound> for LessonRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// A visible lesson and a caller for whom it is not locked: the proof that [`super::facts`] asks for. Only [`open`] makes it.
#[derive(Debug)]
pub struct OpenLesson {
    pub(super) caller: Caller,
    pub(super) id: Uuid,
    pub(super) title: String,
    pub(super) completion: CompletionRule,
}

/// Looks up a lesson that the caller is about to write about.
///
/// A rollup that has seen every fact (its marker is clean) and the current content says the same as a count of the
/// facts, for a few index reads whatever the size of the roadmap. Where it does not say "open", such as for everybody after
/// a content change, facts do that leave nothing open before the stage. Only where neither does is counted.
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
    let places = if lesson.is_surely_open { Vec::new() } else { places_of(tx, &caller, lesson_id).await? };
    let is_locked = is_locked(&places);
    match places.into_iter().next() {
        Some(place) if is_locked => Err(Rejected::Refused(LessonRefusal::StageLocked {
            stage_title: place.stage_title,
            missing: place.missing,
        })),
        _ => Ok(OpenLesson { caller, id: lesson_id, title: lesson.title, completion: lesson.completion }),
    }
}

/// A live task of an open lesson. Only [`find_task`] makes it.
#[derive(Debug)]
pub struct OpenTask {
    pub(super) id: Uuid,
    pub(super) title: String,
    pub(super) is_required: bool,
}

/// Looks up a task of the lesson.
pub async fn find_task(
    connection: &mut PgConnection,
    lesson: &OpenLesson,
    task_id: Uuid,
) -> Result<OpenTask, Rejected<NotFound>> {
    let task = sqlx::query_as!(
        OpenTask,
        "SELECT id, title, is_required FROM lesson_tasks WHERE id = $1 AND lesson_id = $2 AND deleted_at IS NULL",
        task_id,
        lesson.id
    );
    task.fetch_optional(connection).await?.or_not_found(Noun::Task)
}
