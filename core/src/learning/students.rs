//! Students, as mentors see them: live accounts with the role `student`, and nobody else.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::actor::{Caller, Role};
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A student as lists show them.
#[derive(Clone, Debug)]
pub struct Student {
    /// Identifies the student.
    pub id: Uuid,
    /// The first name.
    pub first_name: String,
    /// The last name; `None` if they gave none.
    pub last_name: Option<String>,
    /// The address of a picture.
    pub avatar_url: Option<String>,
    /// Whether the account is suspended.
    pub is_suspended: bool,
    /// The stored percentage over all roadmaps that the student started; `None` if there is nothing to do in them.
    pub progress_percent: Option<i16>,
    /// When the student last did anything; `None` if they never did.
    pub last_active_at: Option<DateTime<Utc>>,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
    /// What the student is at; `None` if they started nothing or have completed everything they started.
    pub current: Option<CurrentStage>,
    /// Where the student stands in a list by name; `None` in others.
    pub name_key: Option<NameKey>,
}

impl Student {
    /// The sort key of lists by activity.
    pub fn activity_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.last_active_at.unwrap_or(self.created_at), self.id)
    }
}

/// The stage that a student is at: the first that is not completed in the roadmap in which they last progressed.
#[derive(Clone, Debug)]
pub struct CurrentStage {
    /// Identifies the stage.
    pub stage_id: Uuid,
    /// Its title.
    pub stage_title: String,
    /// Its roadmap.
    pub roadmap_id: Uuid,
    /// The title of the roadmap.
    pub roadmap_title: String,
    /// The student's stored percentage in the roadmap.
    pub roadmap_percent: Option<i16>,
}

/// Which students to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only those who started this roadmap.
    pub roadmap_id: Option<Uuid>,
    /// Only those whose current stage in its roadmap is this one.
    pub stage_id: Option<Uuid>,
    /// Only those who started something, have not completed all of it, and did nothing for this number of days.
    pub stalled_days: Option<i32>,
}

/// Sort key of lists by name: whether the full name (1) or the last name (2) matched, the name, and the id.
pub type NameKey = ((i32, String), Uuid);

struct Row {
    id: Uuid,
    first_name: String,
    last_name: Option<String>,
    avatar_url: Option<String>,
    is_suspended: bool,
    progress_percent: Option<i16>,
    last_active_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    stage_id: Option<Uuid>,
    stage_title: Option<String>,
    roadmap_id: Option<Uuid>,
    roadmap_title: Option<String>,
    roadmap_percent: Option<i16>,
    r#match: Option<i32>,
    name_key: Option<String>,
}

impl From<Row> for Student {
    fn from(row: Row) -> Self {
        let stage = row.stage_id.zip(row.stage_title).zip(row.roadmap_id.zip(row.roadmap_title));
        let roadmap_percent = row.roadmap_percent;
        Self {
            current: stage.map(|((stage_id, stage_title), (roadmap_id, roadmap_title))| CurrentStage {
                stage_id,
                stage_title,
                roadmap_id,
                roadmap_title,
                roadmap_percent,
            }),
            name_key: row.r#match.zip(row.name_key).map(|key| (key, row.id)),
            id: row.id,
            first_name: row.first_name,
            last_name: row.last_name,
            avatar_url: row.avatar_url,
            is_suspended: row.is_suspended,
            progress_percent: row.progress_percent,
            last_active_at: row.last_active_at,
            created_at: row.created_at,
        }
    }
}

/// At most `limit` students, the most recently active first, starting after the [`Student::activity_key`] `after`.
pub async fn list_by_activity(
    connection: &mut PgConnection,
    filter: Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Student>> {
    let (time, id) = after.unzip();
    let rows = sqlx::query_file_as!(
        Row,
        "src/learning/students_by_activity.sql",
        filter.roadmap_id,
        filter.stage_id,
        filter.stalled_days,
        time,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(Student::from).collect())
}

/// At most `limit` students by name, starting after the [`Student::name_key`] `after`: those whose full or last name begins
/// with `text`, whatever the case, or all if it is empty.
pub async fn list_by_name(
    connection: &mut PgConnection,
    filter: Filter,
    text: &str,
    after: Option<NameKey>,
    limit: i64,
) -> Result<Vec<Student>> {
    let (key, id) = after.unzip();
    let (matched, name) = key.unzip();
    let rows = sqlx::query_file_as!(
        Row,
        "src/learning/students_by_name.sql",
        filter.roadmap_id,
        filter.stage_id,
        filter.stalled_days,
        text.trim(),
        matched,
        name,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(Student::from).collect())
}

/// A student's account.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Identifies the student.
    pub id: Uuid,
    /// The email address.
    pub email: String,
    /// The first name.
    pub first_name: String,
    /// The last name; `None` if they gave none.
    pub last_name: Option<String>,
    /// The address of a picture.
    pub avatar_url: Option<String>,
    /// Whether the account is suspended.
    pub is_suspended: bool,
    /// When the student last did anything; `None` if they never did.
    pub last_active_at: Option<DateTime<Utc>>,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
}

/// Finds a student.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Profile, Rejected<NotFound>> {
    let profile = sqlx::query_as!(
        Profile,
        r#"SELECT id, email, first_name, last_name, avatar_url AS "avatar_url: String",
               status = 'suspended' AS "is_suspended!", last_active_at, created_at
           FROM users WHERE id = $1 AND role = 'student' AND deleted_at IS NULL"#,
        id
    );
    profile.fetch_optional(connection).await?.or_not_found(Noun::Student)
}

impl Profile {
    /// The student in place of the mentor, for functions that read what a learner sees of themselves.
    pub fn in_place_of(&self, mentor: &Caller) -> Caller {
        Caller { user_id: self.id, role: Role::Student, ..mentor.clone() }
    }
}
