//! Replies that learners put before the mentors.

use cairn_core::tools::mentor_questions;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::NoContent;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::Body;
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Code, Problem};

/// Replies that learners put before the mentors.
pub struct MentorQuestionsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems =
    &[("askMentor", &[Code::ReplyNotAnswered]), ("withdrawMentorQuestion", &[Code::MentorQuestionAnswered])];

/// The consent to show a reply to the mentors.
#[derive(Clone, Debug, Object)]
pub struct MentorConsent {
    /// Must be `true`: you agree that all mentors and admins read the question and the answer of this reply.
    pub consent: bool,
}

view! {
    /// A reply of yours that the mentors are shown.
    pub struct AskedMentor from mentor_questions::Asked {
        /// Identifies the question to the mentors.
        id: Uuid,
        /// Identifies the reply.
        reply_id: Uuid,
        /// Whether this call has asked, as opposed to an earlier one.
        is_new: bool,
        /// When it was asked.
        asked_at: Time,
        /// When a mentor answered; null until then.
        answered_at: OptionalTime,
        /// Identifies the message of the chat with the mentor's answer; null until then.
        answer_id: Option<Uuid>,
    }
}

#[OpenApi]
impl MentorQuestionsApi {
    /// Ask the mentors about a reply
    ///
    /// For a reply that is completed, as long as its answer is in the chat. Mentors are shown its question and its answer, and
    /// nothing else of the chat. One of them answers, once: the answer becomes a message of the chat, with the role `mentor`,
    /// and you get the event `mentor.answered`. Like every message of the chat it is part of what the tool is given with later
    /// questions. A reply is put before the mentors once, so repeating the call has no effect.
    #[oai(path = "/replies/:reply_id/mentor-question", method = "put", operation_id = "askMentor", tag = Tag::Tools)]
    async fn ask_mentor(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
        body: Body<MentorConsent>,
    ) -> Result<Json<AskedMentor>, Problem> {
        if !body.consent {
            return Err(Problem::invalid_field("/consent", "not_allowed", "Mentors are asked with your consent only."));
        }
        let mut tx = self.app.begin_as(&caller).await?;
        let asked = mentor_questions::ask(&mut tx, reply_id.0).await?;
        tx.commit().await?;
        Ok(Json(asked.into()))
    }

    /// Withdraw a question to the mentors
    ///
    /// Mentors no longer see the reply. Possible until one of them has answered; clearing the chat withdraws it in any case.
    /// Repeating the call has no effect.
    #[oai(
        path = "/replies/:reply_id/mentor-question",
        method = "delete",
        operation_id = "withdrawMentorQuestion",
        tag = Tag::Tools
    )]
    async fn withdraw_mentor_question(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        mentor_questions::withdraw(&mut tx, reply_id.0).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
