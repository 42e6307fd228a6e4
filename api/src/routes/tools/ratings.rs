//! What learners think of replies.

use cairn_core::tools::ratings;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::replies::{self, Reply, Thumb};
use crate::answers::NoContent;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::Body;
use crate::{App, Code, Problem};

/// What learners think of replies.
pub struct RatingsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("rateReply", &[Code::ReplyNotAnswered])];

/// A rating of a reply.
#[derive(Clone, Debug, Object)]
pub struct NewRating {
    /// What you think of it.
    pub thumb: Thumb,
    /// Why you think so, for the admins. Surrounding white space is removed.
    #[oai(validator(max_length = 1000))]
    pub reason: Option<String>,
}

#[OpenApi]
impl RatingsApi {
    /// Rate a reply
    ///
    /// For a reply that is completed, as long as its answer is in the chat. Rating it again replaces the rating, so repeating the
    /// call has no effect. Admins can read the reason. It is deleted when the chat is cleared.
    #[oai(path = "/replies/:reply_id/rating", method = "put", operation_id = "rateReply", tag = Tag::Tools)]
    async fn rate_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
        body: Body<NewRating>,
    ) -> Result<Json<Reply>, Problem> {
        let reason = body.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        let mut tx = self.app.begin_as(&caller).await?;
        ratings::rate(&mut tx, reply_id.0, body.thumb.into(), reason).await?;
        let reply = replies::find(&mut tx, &caller, reply_id.0).await?;
        tx.commit().await?;
        Ok(reply)
    }

    /// Delete the rating of a reply
    ///
    /// Repeating the call has no effect.
    #[oai(path = "/replies/:reply_id/rating", method = "delete", operation_id = "unrateReply", tag = Tag::Tools)]
    async fn unrate_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        ratings::unrate(&mut tx, reply_id.0).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
