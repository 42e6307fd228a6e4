//! What learners say of replies.

use cairn_core::tools::ratings::{self, RatingReason};
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::routes::tools::ToolType;
use crate::routes::tools::replies::Thumb;
use crate::time::Time;
use crate::view::view;
use crate::{App, Problem};

/// What learners say of replies.
pub struct RatingReasonsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// A rating of a reply for which its learner gave a reason.
    pub struct RatedReply from RatingReason {
        /// The reply.
        reply_id: Uuid,
        /// The tool that answered.
        tool_type: ToolType,
        /// The version of the instruction under which it answered.
        instruction_version: i32,
        /// Whether it helped.
        thumb: Thumb,
        /// Why, in the words of the learner.
        reason: String,
        /// When it was rated.
        rated_at: Time,
    }
}

#[OpenApi]
impl RatingReasonsApi {
    /// List the reasons of ratings
    ///
    /// What learners wrote when they rated replies, the newest first. The list does not name them, and what they asked stays
    /// theirs. Ratings without a reason are counted in the figures by day.
    #[oai(path = "/admin/tools/ratings", method = "get", operation_id = "listRatingReasons", tag = Tag::ToolsAdmin)]
    async fn list_rating_reasons(
        &self,
        _caller: Admin,
        /// Only replies of this tool.
        tool_type: Query<Option<ToolType>>,
        /// Only ratings with this thumb.
        thumb: Query<Option<Thumb>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<RatedReply>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let (tool, thumb) = (tool_type.0.map(Into::into), thumb.0.map(Into::into));
        let mut connection = self.app.connection().await?;
        let rows = ratings::reasons(&mut connection, tool, thumb, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.rated_at, last.reply_id)))
    }
}
