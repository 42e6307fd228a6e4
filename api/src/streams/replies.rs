//! The stream of a reply, as clients see it.

use cairn_core::tools::stream::{Position, ReadRequest, ReplyUpdate};
use poem::web::sse::Event;
use poem_openapi::types::ToJSON;
use poem_openapi::{Object, Union};
use uuid::Uuid;

use super::reader::Request;

/// The next piece of the answer.
#[derive(Clone, Debug, Object)]
pub struct ReplyChunk {
    /// The text to append.
    pub text: String,
}

/// The next piece of what the model thinks, which is no part of the answer. Only if the tool's instruction allows it.
#[derive(Clone, Debug, Object)]
pub struct ReplyThinking {
    /// The text to append to the earlier thoughts.
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
    /// The next piece of what the model thinks.
    #[oai(mapping = "thinking")]
    Thinking(ReplyThinking),
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
    fn from(update: ReplyUpdate) -> Self {
        match update {
            ReplyUpdate::Text(text) => Self::Chunk(ReplyChunk { text }),
            ReplyUpdate::Thinking(text) => Self::Thinking(ReplyThinking { text }),
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
    /// The name of the event.
    const fn name(&self) -> &'static str {
        match self {
            Self::Chunk(_) => "chunk",
            Self::Thinking(_) => "thinking",
            Self::Restart(_) => "restart",
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

impl Request for ReadRequest {
    type Position = Position;
    type Update = ReplyUpdate;

    fn advance(&mut self, position: Position) {
        self.position = position;
    }

    fn event(update: ReplyUpdate, position: Position) -> Option<Event> {
        let event = ReplyEvent::from(update);
        Some(Event::message(event.to_json_string()).event_type(event.name()).id(position.to_string()))
    }
}
