//! Students, for mentors.

use cairn_core::learning::students::{self, Filter};
use cairn_core::learning::{catalog, progress};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use super::progress::{Activity, MAX_ROADMAPS};
use super::roadmaps::{Roadmap, RoadmapTree};
use crate::answers::Tagged;
use crate::caller::Mentor;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Problem};

/// Students, for mentors.
pub struct StudentsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The order of a list of students.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum StudentSort {
    /// The most recently active first; who has never been active counts as active when the account was created.
    #[default]
    Activity,
    /// By first name, then last name.
    Name,
}

view! {
    /// The stage that a student is at: the first that is not completed in the roadmap in which they last progressed.
    pub struct CurrentStage from students::CurrentStage {
        /// Identifies the stage.
        stage_id: Uuid,
        /// The title of the stage.
        stage_title: String,
        /// The roadmap of the stage.
        roadmap_id: Uuid,
        /// The title of the roadmap.
        roadmap_title: String,
        /// The student's progress in the roadmap, in whole percent; null if there are no required lessons.
        #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
        roadmap_percent: Option<i16>,
    }
}

/// A student as lists show them.
#[derive(Clone, Debug, Object)]
pub struct Student {
    /// Identifies the student.
    pub id: Uuid,
    /// The first name.
    pub first_name: String,
    /// The last name; null if there is none.
    pub last_name: Option<String>,
    /// The URL of a picture; null if there is none.
    pub avatar_url: Option<String>,
    /// Whether the account is suspended.
    pub is_suspended: bool,
    /// The completed share of the required lessons of all started roadmaps, in whole percent, up to a few moments ago; null if
    /// there are none.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub progress_percent: Option<i16>,
    /// The stage that the student is at; null if they have started nothing, or completed everything that they started.
    pub current_stage: Option<CurrentStage>,
    /// When the student last did anything, to the minute; null if they never did.
    pub last_active_at: OptionalTime,
    /// When the account was created.
    pub created_at: Time,
}

impl From<students::Student> for Student {
    fn from(student: students::Student) -> Self {
        Self {
            id: student.id,
            first_name: student.first_name,
            last_name: student.last_name,
            avatar_url: student.avatar_url,
            is_suspended: student.is_suspended,
            progress_percent: student.progress_percent,
            current_stage: student.current.map(CurrentStage::from),
            last_active_at: student.last_active_at.into(),
            created_at: student.created_at.into(),
        }
    }
}

/// A student with their progress.
#[derive(Clone, Debug, Object)]
pub struct StudentProfile {
    /// Identifies the student.
    pub id: Uuid,
    /// The email address.
    pub email: String,
    /// The first name.
    pub first_name: String,
    /// The last name; null if there is none.
    pub last_name: Option<String>,
    /// The URL of a picture; null if there is none.
    pub avatar_url: Option<String>,
    /// Whether the account is suspended.
    pub is_suspended: bool,
    /// When the student last did anything, to the minute; null if they never did.
    pub last_active_at: OptionalTime,
    /// When the account was created.
    pub created_at: Time,
    /// Whole percent of the required lessons of all roadmaps that the student started, each lesson counted once; null if
    /// there are no such lessons.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub progress_percent: Option<i16>,
    /// The roadmaps that the student started, in order, with the student's progress; at most 200.
    #[oai(validator(max_items = 200))]
    pub roadmaps: Vec<Roadmap>,
}

#[OpenApi]
impl StudentsApi {
    /// List students
    ///
    /// Live accounts with the role student, suspended ones included.
    #[oai(path = "/mentor/students", method = "get", operation_id = "listStudents", tag = Tag::Mentor)]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the operation")]
    async fn list_students(
        &self,
        _caller: Mentor,
        /// The order.
        #[oai(default)]
        sort: Query<StudentSort>,
        /// Only students whose first and last name, or last name, begin with this text, whatever the case. They are ordered by
        /// name: those whose first name matches, then the others.
        #[oai(validator(min_length = 1, max_length = 100))]
        q: Query<Option<String>>,
        /// Only students who have started this roadmap.
        roadmap: Query<Option<Uuid>>,
        /// Only students who are at this stage: it is the first of its roadmap that they have not completed.
        stage: Query<Option<Uuid>>,
        /// Only students who have started a roadmap, have not completed everything that they started, and did nothing for at
        /// least this number of days.
        #[oai(validator(minimum(value = "1"), maximum(value = "3650")))]
        stalled_days: Query<Option<i32>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Student>>, Problem> {
        let filter = Filter { roadmap_id: roadmap.0, stage_id: stage.0, stalled_days: stalled_days.0 };
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        if q.0.is_none() && sort.0 == StudentSort::Activity {
            let rows = students::list_by_activity(&mut connection, filter, page.after()?, page.rows()).await?;
            return page.answer(rows, |last| Some(last.activity_key()));
        }
        let text = q.0.unwrap_or_default();
        let rows = students::list_by_name(&mut connection, filter, &text, page.after()?, page.rows()).await?;
        page.answer(rows, |last| last.name_key.clone())
    }

    /// Get a student with their progress
    #[oai(path = "/mentor/students/:student_id", method = "get", operation_id = "getStudent", tag = Tag::Mentor)]
    async fn get_student(
        &self,
        caller: Mentor,
        /// The student.
        student_id: Path<Uuid>,
    ) -> Result<Json<StudentProfile>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let student = students::find(&mut snapshot, student_id.0).await?;
        let learner = student.in_place_of(&caller);
        let progress_percent = progress::overall_percent(&mut snapshot, &learner).await?;
        let roadmaps = catalog::started_roadmaps(&mut snapshot, &learner, MAX_ROADMAPS).await?;
        Ok(Json(StudentProfile {
            id: student.id,
            email: student.email,
            first_name: student.first_name,
            last_name: student.last_name,
            avatar_url: student.avatar_url,
            is_suspended: student.is_suspended,
            last_active_at: student.last_active_at.into(),
            created_at: student.created_at.into(),
            progress_percent,
            roadmaps: roadmaps.into_iter().map(Roadmap::from).collect(),
        }))
    }

    /// Get a student's progress in a roadmap
    ///
    /// Its stages and lessons as the student sees them: “you” in the description of a member is the student.
    #[oai(
        path = "/mentor/students/:student_id/progress/:roadmap_id",
        method = "get",
        operation_id = "getStudentProgress",
        tag = Tag::Mentor
    )]
    async fn get_student_progress(
        &self,
        caller: Mentor,
        /// The student.
        student_id: Path<Uuid>,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
    ) -> Result<Tagged<RoadmapTree>, Problem> {
        let mut connection = self.app.connection().await?;
        let learner = students::find(&mut connection, student_id.0).await?.in_place_of(&caller);
        drop(connection);
        let (tree, progress) = self.app.tree(&learner, roadmap_id.0).await?;
        Ok(tree.with(&progress))
    }

    /// List a student's activity
    ///
    /// Newest first: what they did and to what, never what they wrote to a tool or where they were.
    #[oai(
        path = "/mentor/students/:student_id/activity",
        method = "get",
        operation_id = "listStudentActivity",
        tag = Tag::Mentor
    )]
    async fn list_student_activity(
        &self,
        caller: Mentor,
        /// The student.
        student_id: Path<Uuid>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Activity>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let learner = students::find(&mut connection, student_id.0).await?.in_place_of(&caller);
        let rows = progress::activities(&mut connection, &learner, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.occurred_at, last.id)))
    }
}
