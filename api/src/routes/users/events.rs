//! The events of the signed-in user.

use poem_openapi::param::Header;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult};
use poem_openapi::{ApiResponse, OpenApi};

use crate::answers::Events;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::parameter_type;
use crate::streams::user_events::UserEvent;
use crate::{App, Code, Problem};

/// The events of the signed-in user.
pub struct EventsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("streamMyEvents", &[Code::TooManyStreams])];

/// The number of the last event that a client received.
pub struct LastEventNumber(i64);

impl LastEventNumber {
    const MAX_LENGTH: usize = 18;
}

parameter_type!(LastEventNumber, "last_event_number", required: true, MetaSchema {
    description: Some("The `id` of the last event that you received, to resume after it."),
    max_length: Some(LastEventNumber::MAX_LENGTH),
    pattern: Some("^[0-9]+$".to_owned()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for LastEventNumber {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let is_number = value.len() <= Self::MAX_LENGTH && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|_| is_number);
        number.map(Self).ok_or_else(|| ParseError::custom("not the id of an event of this stream"))
    }
}

/// The stream of events.
#[derive(ApiResponse)]
pub enum StreamMyEventsResponse {
    /// The events, until the session ends.
    #[oai(status = 200)]
    Events(Events<UserEvent>),
}

#[OpenApi]
impl EventsApi {
    /// Stream my events
    ///
    /// Server-sent events about what concerns you, from any of your devices: progress that was recomputed, stages and
    /// roadmaps that you completed for the first time, replies, decisions about your projects, and sessions that ended.
    /// Each event is committed together with its cause, and has the next number as its `id`.
    ///
    /// The stream starts with `ready`, whose `id` is your position, or after `Last-Event-ID`. It does not end by itself:
    /// if it ends, reconnect with the `id` of the last event that you received, and nothing is missing or repeated. Events
    /// are kept for 24 hours; after a longer pause you receive `missed` first and have to load what you show again. The
    /// last event of a stream whose session has ended is `session.ended`. Ignore events of types that you do not know.
    /// Comments keep an idle connection open; they are sent at least every 15 seconds.
    #[oai(path = "/me/events", method = "get", operation_id = "streamMyEvents", tag = Tag::Me)]
    async fn stream_my_events(
        &self,
        caller: Member,
        #[oai(name = "Last-Event-ID")] last_event_id: Header<Option<LastEventNumber>>,
    ) -> Result<StreamMyEventsResponse, Problem> {
        let position = last_event_id.0.map(|id| id.0);
        let events = self.app.streams.follow_user(&caller, position).await?;
        Ok(StreamMyEventsResponse::Events(Events::new(events)))
    }
}
