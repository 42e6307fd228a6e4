//! Streams of replies.

use std::str::FromStr;

use cairn_core::tools::stream::Position;
use poem_openapi::param::{Header, Path};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult};
use poem_openapi::{ApiResponse, OpenApi};
use uuid::Uuid;

use crate::answers::Events;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::parameter_type;
use crate::streams::replies::ReplyEvent;
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
        "The `id` of the last event that you received, to resume after it, such as `1.7`. An id that \
         is no longer valid for the reply is answered with `restart`."),
    max_length: Some(LastEventId::MAX_LENGTH),
    pattern: Some("^[0-9]+\\.([0-9]+|end)$".to_owned()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for LastEventId {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Position::from_str(value).map(Self).map_err(ParseError::custom)
    }
}

/// The stream of a reply.
#[derive(ApiResponse)]
pub enum StreamReplyResponse {
    /// The events, until the reply is in its final state.
    #[oai(status = 200)]
    Events(Events<ReplyEvent>),
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
    /// Stop reconnecting after the last event: the stream that follows it ends at once and has no events. The text of an older
    /// reply may come in one piece. A stream ends within seconds of its session.
    #[oai(path = "/replies/:reply_id/stream", method = "get", operation_id = "streamReply", tag = Tag::Tools)]
    async fn stream_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
        #[oai(name = "Last-Event-ID")] last_event_id: Header<Option<LastEventId>>,
    ) -> Result<StreamReplyResponse, Problem> {
        let position = last_event_id.0.map(|id| id.0).unwrap_or_default();
        let events = self.app.streams.follow_reply(&caller, reply_id.0, position).await?;
        Ok(StreamReplyResponse::Events(Events::new(events)))
    }
}
