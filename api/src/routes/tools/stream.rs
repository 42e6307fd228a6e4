//! Replies as they are written.

use std::str::FromStr;

use cairn_core::tools::stream::{Position, ReplyUpdate};
use poem::web::sse::Event;
use poem_openapi::param::{Header, Path};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{Example, ParseError, ParseFromParameter, ParseResult, ToJSON};
use poem_openapi::{ApiResponse, Object, OpenApi, Union};
use uuid::Uuid;

use super::replies::Reply;
use crate::answers::Events;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::parameter_type;
use crate::streams::Following;
use crate::{App, Code, Problem};

/// Replies as they are written.
pub struct StreamApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("streamReply", &[Code::ReplyNotFound, Code::TooManyStreams])];

/// The id of the last event that a reader got.
pub struct LastEventId(Position);

impl LastEventId {
    const MAX_LENGTH: usize = 30;
}

parameter_type!(LastEventId, "last_event_id", required: true, MetaSchema {
    description: Some(
        "The `id` of the last event that you got, when you come back; `EventSource` sends it by itself. What follows it \
         is sent. An id that does not fit the reply any more is answered with `restart`."),
    max_length: Some(LastEventId::MAX_LENGTH),
    pattern: Some("^[0-9]+\\.([0-9]+|end)$".to_owned()),
    example: Some("1.7".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for LastEventId {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Position::from_str(value).map(Self).map_err(ParseError::custom)
    }
}

/// The next piece of the answer.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ReplyChunk {
    /// Append it to what you have.
    pub text: String,
}

impl Example for ReplyChunk {
    fn example() -> Self {
        Self { text: "Use a grid with ".to_owned() }
    }
}

/// The answer is written anew: drop the text that you have.
#[derive(Clone, Debug, Object)]
pub struct ReplyRestart {}

/// The reply is completed: what you have is the answer.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ReplyCompleted {
    /// The message with the answer; null when it was cleared since.
    pub message_id: Option<Uuid>,
    /// Whether the answer holds a block to copy.
    pub has_copyable_content: bool,
}

impl Example for ReplyCompleted {
    fn example() -> Self {
        let reply = Reply::example();
        Self { message_id: reply.answer_id, has_copyable_content: reply.has_copyable_content }
    }
}

/// The reply was given up.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ReplyFailed {
    /// Why, for programs.
    pub reason: String,
}

impl Example for ReplyFailed {
    fn example() -> Self {
        Self { reason: "provider_unavailable".to_owned() }
    }
}

/// The reply was stopped.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ReplyCancelled {
    /// Why, for programs: `cancelled` by you, or `cleared` with its chat.
    pub reason: String,
    /// The message with what there was of the answer; null if there was nothing, or it was cleared.
    pub message_id: Option<Uuid>,
}

impl Example for ReplyCancelled {
    fn example() -> Self {
        Self { reason: "cancelled".to_owned(), message_id: Reply::example().answer_id }
    }
}

/// What happens to a reply. The event's name is the same as `type`.
#[derive(Clone, Debug, Union)]
#[oai(discriminator_name = "type", one_of)]
pub enum ReplyEvent {
    /// The next piece of the answer.
    #[oai(mapping = "chunk")]
    Chunk(ReplyChunk),
    /// The answer is written anew.
    #[oai(mapping = "restart")]
    Restart(ReplyRestart),
    /// Over: completed.
    #[oai(mapping = "completed")]
    Completed(ReplyCompleted),
    /// Over: given up.
    #[oai(mapping = "failed")]
    Failed(ReplyFailed),
    /// Over: stopped.
    #[oai(mapping = "cancelled")]
    Cancelled(ReplyCancelled),
}

impl From<ReplyUpdate> for ReplyEvent {
    fn from(news: ReplyUpdate) -> Self {
        match news {
            ReplyUpdate::Text(text) => Self::Chunk(ReplyChunk { text }),
            ReplyUpdate::Restarted => Self::Restart(ReplyRestart {}),
            ReplyUpdate::Completed { message_id, has_copyable_content } => {
                Self::Completed(ReplyCompleted { message_id, has_copyable_content })
            }
            ReplyUpdate::Failed { reason } => Self::Failed(ReplyFailed { reason }),
            ReplyUpdate::Cancelled { reason, message_id } => Self::Cancelled(ReplyCancelled { reason, message_id }),
        }
    }
}

impl ReplyEvent {
    /// As it is sent to somebody who is at `position` when they have got it.
    pub(crate) fn into_event(self, position: Position) -> Event {
        let name = match self {
            Self::Chunk(_) => "chunk",
            Self::Restart(_) => "restart",
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled(_) => "cancelled",
        };
        Event::message(self.to_json_string()).event_type(name).id(position.to_string())
    }
}

/// A reply as it is written.
#[derive(ApiResponse)]
pub enum StreamReplyResponse {
    /// The events, until the reply is in its final state.
    #[oai(status = 200)]
    Events(Events<ReplyEvent>),
    /// There is nothing to follow: the reply is in its final state, and you have everything, the last event included.
    #[oai(status = 204)]
    Nothing,
}

#[OpenApi]
impl StreamApi {
    /// Follow a reply of mine while it is written
    ///
    /// Server-sent events: each `chunk` is appended to the text; `restart` says that the answer is written anew, so drop
    /// what you have; `completed`, `failed` or `cancelled` comes last. The stream begins with everything that there is, or
    /// with what follows `Last-Event-ID`, and goes on until the last event. If it ends before that, the connection was
    /// lost or the service restarts: open it again with the `id` of the last event that you got, and nothing is missing
    /// or repeated. Comments come at least every 15 seconds while nothing else does.
    ///
    /// The answer is 204 if the reply is in its final state and `Last-Event-ID` is the `id` of the last event: an
    /// `EventSource` then stops coming back. Text that is no longer kept in pieces comes as one. A stream ends within
    /// seconds when its session does.
    #[oai(path = "/replies/:reply_id/stream", method = "get", operation_id = "streamReply", tag = Tag::Tools)]
    async fn stream_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
        #[oai(name = "Last-Event-ID")] last_event_id: Header<Option<LastEventId>>,
    ) -> Result<StreamReplyResponse, Problem> {
        let position = last_event_id.0.map(|id| id.0).unwrap_or_default();
        Ok(match self.app.streams.follow(&caller, reply_id.0, position).await? {
            Following::Events(events) => StreamReplyResponse::Events(Events::new(events)),
            Following::Nothing => StreamReplyResponse::Nothing,
        })
    }
}
