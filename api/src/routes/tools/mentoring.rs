//! What learners ask the mentors about replies of the tools, for mentors and admins.

use cairn_core::tools::mentor_questions::{self, Question};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::ToolType;
use crate::caller::Mentor;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, Limit, Page, PageRequest};
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Code, Problem};

/// What learners ask the mentors about replies of the tools, for mentors and admins.
pub struct MentoringApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("answerMentorQuestion", &[Code::MentorQuestionAnswered])];

view! {
    /// A question to the mentors as lists show it.
    pub struct MentorQuestionSummary from Question {
        /// Identifies the question.
        id: Uuid,
        /// The tool that the learner had asked.
        #[oai(rename = "tool_type")]
        tool: ToolType,
        /// Identifies the learner.
        student_id: Uuid,
        /// The learner's first name.
        first_name: String,
        /// The learner's last name; null if they gave none.
        last_name: Option<String>,
        /// The first 200 characters of what the learner asked the tool.
        question: String,
        /// When the learner asked the mentors.
        asked_at: Time,
        /// When a mentor answered; null until then.
        answered_at: OptionalTime,
    }
}

view! {
    /// A question to the mentors: what a learner asked a tool, and what the tool answered. Nothing else of the chat is shown.
    pub struct MentorQuestion from Question {
        /// Identifies the question.
        id: Uuid,
        /// The tool that the learner had asked.
        #[oai(rename = "tool_type")]
        tool: ToolType,
        /// Identifies the learner.
        student_id: Uuid,
        /// The learner's first name.
        first_name: String,
        /// The learner's last name; null if they gave none.
        last_name: Option<String>,
        /// What the learner asked the tool.
        question: String,
        /// What the tool answered, in Markdown.
        reply: String,
        /// What a mentor answered, in Markdown; null until then.
        answer: Option<String>,
        /// Identifies the mentor who answered; null until then.
        answered_by: Option<Uuid>,
        /// When the learner asked the mentors.
        asked_at: Time,
        /// When a mentor answered; null until then.
        answered_at: OptionalTime,
    }
}

/// An answer to a learner.
#[derive(Clone, Debug, Object)]
pub struct MentorAnswer {
    /// The answer, in Markdown. Surrounding white space is removed.
    #[oai(validator(min_length = 1, max_length = 20_000))]
    pub text: String,
}

#[OpenApi]
impl MentoringApi {
    /// List questions to the mentors
    ///
    /// Those that wait for an answer, the one that waits longest first; with `answered` those that were answered, the latest
    /// first. What a learner withdraws or clears is no longer listed.
    #[oai(path = "/mentor/questions", method = "get", operation_id = "listMentorQuestions", tag = Tag::Mentor)]
    async fn list_mentor_questions(
        &self,
        _caller: Mentor,
        /// The questions that were answered instead of those that wait.
        #[oai(default)]
        answered: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<MentorQuestionSummary>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        if answered.0 {
            let rows = mentor_questions::list_answered(&mut connection, page.after()?, page.rows()).await?;
            page.answer(rows, |last| last.answered_at.map(|time| (time, last.id)))
        } else {
            let rows = mentor_questions::list_waiting(&mut connection, page.after()?, page.rows()).await?;
            page.answer(rows, |last| Some((last.asked_at, last.id)))
        }
    }

    /// Get a question to the mentors
    ///
    /// With the whole texts of the question and the tool's answer.
    #[oai(
        path = "/mentor/questions/:mentor_question_id",
        method = "get",
        operation_id = "getMentorQuestion",
        tag = Tag::Mentor
    )]
    async fn get_mentor_question(
        &self,
        _caller: Mentor,
        /// The question.
        mentor_question_id: Path<Uuid>,
    ) -> Result<Json<MentorQuestion>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(mentor_questions::find(&mut connection, mentor_question_id.0).await?.into()))
    }

    /// Answer a question to the mentors
    ///
    /// Once: the answer becomes a message of the learner's chat, and the learner gets an event. Of two mentors who answer at the
    /// same time, one is refused.
    #[oai(
        path = "/mentor/questions/:mentor_question_id/answer",
        method = "post",
        operation_id = "answerMentorQuestion",
        tag = Tag::Mentor
    )]
    async fn answer_mentor_question(
        &self,
        caller: Mentor,
        /// The question.
        mentor_question_id: Path<Uuid>,
        body: Body<MentorAnswer>,
    ) -> Result<Json<MentorQuestion>, Problem> {
        let text = body.text.trim();
        if text.is_empty() {
            return Err(Problem::invalid_field("/text", "blank", "An answer is expected."));
        }
        let mut tx = self.app.begin_as(&caller).await?;
        mentor_questions::answer(&mut tx, mentor_question_id.0, text).await?;
        let question = mentor_questions::find(&mut tx, mentor_question_id.0).await?;
        tx.commit().await?;
        Ok(Json(question.into()))
    }
}
