//! Questions for which the platform has no content.

use cairn_core::tools::unanswered::{self, Unanswered};
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::routes::tools::ToolType;
use crate::time::Time;
use crate::view::view;
use crate::{App, Problem};

/// Questions for which the platform has no content.
pub struct UnansweredApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// Questions for which nothing was found, all of which looked for the same words.
    pub struct UnansweredQuestions from Unanswered {
        /// Identifies the words.
        id: Uuid,
        /// The stems of the words that were looked for, in the order of the alphabet; empty if the questions have none that tell
        /// anything.
        words: String,
        /// How often it was asked.
        questions: i64,
        /// How many learners asked.
        learners: i64,
        /// The first 300 characters of the latest of the questions.
        example: String,
        /// When that was asked.
        last_asked_at: Time,
    }
}

#[OpenApi]
impl UnansweredApi {
    /// List questions that the platform has no content for
    ///
    /// Grouped by the words that were looked for, the most frequent first: what the course lacks. If a lesson answers one in other
    /// words, add the question to the lesson's `questions`. Questions of chats that were cleared are left out.
    #[oai(
        path = "/admin/tools/unanswered",
        method = "get",
        operation_id = "listUnansweredQuestions",
        tag = Tag::ToolsAdmin
    )]
    async fn list_unanswered_questions(
        &self,
        _caller: Admin,
        /// The number of days to look back.
        #[oai(default = "month", validator(minimum(value = "1"), maximum(value = "90")))]
        days: Query<i32>,
        /// Only questions to this tool.
        tool_type: Query<Option<ToolType>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<UnansweredQuestions>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let tool = tool_type.0.map(Into::into);
        let mut connection = self.app.connection().await?;
        let rows = unanswered::list(&mut connection, tool, days.0, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.questions, last.id)))
    }
}

fn month() -> i32 {
    30
}
