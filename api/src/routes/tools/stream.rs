//! Streams of replies.

use std::str::FromStr;

use cairn_core::tools::stream::{Position, ReplyUpdate};
use poem::web::sse::Event;
use poem_openapi::param::{Header, Path};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, ToJSON};
use poem_openapi::{ApiResponse, Object, OpenApi, Union};
use uuid::Uuid;

use crate::answers::Events;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::parameter_type;
use crate::streams::Following;
use crate::{App, Code, Problem};

/// Streams of replies.
pub struct StreamApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("streamReply", &[Code::TooManyStreams])];

/// The id of the last event that a client received.
pub struct LastEventId(Position);

impl LastEventId {
    const MAX_LENGTH: usize = 30;
}

parameter_type!(LastEventId, "last_event_id", required: true, MetaSchema {
    description: Some(
        "The `id` of the last event that you received, to resume after it; `EventSource` sends it by itself. An id that \
         is no longer valid for the reply is answered with `restart`."),
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
pub struct ReplyChunk {
    /// The text to append.
    pub text: String,
}

/// The answer starts over: discard the text received so far.
#[derive(Clone, Debug, Object)]
pub struct ReplyRestart {}

/// The reply is completed: the text received is the answer.
#[derive(Clone, Debug, Object)]
pub struct ReplyCompleted {
    /// Identifies the message with the answer; null if it was cleared since.
    pub message_id: Option<Uuid>,
    /// Whether the answer contains a block to copy.
    pub has_copyable_content: bool,
}

/// The reply failed.
#[derive(Clone, Debug, Object)]
pub struct ReplyFailed {
    /// Why, as a code.
    pub reason: String,
}

/// The reply was cancelled.
#[derive(Clone, Debug, Object)]
pub struct ReplyCancelled {
    /// Why, as a code: `cancelled` by the learner, or `cleared` with the chat.
    pub reason: String,
    /// Identifies the message with the incomplete answer; null if there is none, or if it was cleared.
    pub message_id: Option<Uuid>,
}

/// An event of a reply. The name of the event is its `type`.
#[derive(Clone, Debug, Union)]
#[oai(discriminator_name = "type", one_of)]
pub enum ReplyEvent {
    /// The next piece of the answer.
    #[oai(mapping = "chunk")]
    Chunk(ReplyChunk),
    /// The answer starts over.
    #[oai(mapping = "restart")]
    Restart(ReplyRestart),
    /// The end: completed.
    #[oai(mapping = "completed")]
    Completed(ReplyCompleted),
    /// The end: failed.
    #[oai(mapping = "failed")]
    Failed(ReplyFailed),
    /// The end: cancelled.
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
    /// The event as it is sent, with the position of a client that has received it.
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

/// The stream of a reply.
#[derive(ApiResponse)]
pub enum StreamReplyResponse {
    /// The events, until the reply is in its final state.
    #[oai(status = 200)]
    Events(Events<ReplyEvent>),
    /// There is nothing left to stream: the reply is in its final state, and you have received the last event.
    #[oai(status = 204)]
    Nothing,
}

#[OpenApi]
impl StreamApi {
    /// Stream a reply
    ///
    /// Server-sent events: append each `chunk` to the text; after `restart` the answer starts over, so discard the text;
    /// `completed`, `failed` or `cancelled` comes last. The stream starts with the answer so far, or after
    /// `Last-Event-ID`, and continues until the last event. If it ends earlier, the connection was lost or the service is
    /// restarting: reconnect with the `id` of the last event that you received, and nothing is missing or repeated.
    /// Comments keep an idle connection open; they are sent at least every 15 seconds.
    ///
    /// The answer is 204 if the reply is in its final state and `Last-Event-ID` is the `id` of the last event, so that an
    /// `EventSource` stops reconnecting. The text of an older reply may come in one piece. A stream ends within seconds
    /// of its session.
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
