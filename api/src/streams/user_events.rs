//! The stream of a user's events, as clients see it.

use cairn_core::events::UserEvent as Stored;
use cairn_core::users::events::{ReadRequest, Update};
use poem::web::sse::Event;
use poem_openapi::types::ToJSON;
use poem_openapi::{Object, Union};
use uuid::Uuid;

use super::reader::Request;

/// The stream begins: from here on you receive every event.
#[derive(Clone, Debug, Object)]
pub struct EventsReady {}

/// Events that you have not received are no longer kept: load what you show again.
#[derive(Clone, Debug, Object)]
pub struct EventsMissed {}

/// The progress in a roadmap was recomputed, and has changed.
#[derive(Clone, Debug, Object)]
pub struct ProgressUpdated {
    /// Identifies the roadmap.
    pub roadmap_id: Uuid,
    /// The number of the last change that is included, as in the answer to the completion of a lesson.
    pub seq: i64,
    /// The status of the roadmap: `available`, `in_progress` or `completed`.
    pub status: String,
    /// How many of the lessons that count are completed.
    pub lessons_completed: i32,
    /// How many lessons count.
    pub lessons_total: i32,
}

/// A stage was completed for the first time.
#[derive(Clone, Debug, Object)]
pub struct StageAchieved {
    /// Identifies the stage.
    pub stage_id: Uuid,
    /// Identifies the roadmap of the stage.
    pub roadmap_id: Uuid,
    /// The title of the stage.
    pub title: String,
}

/// A roadmap was completed for the first time.
#[derive(Clone, Debug, Object)]
pub struct RoadmapAchieved {
    /// Identifies the roadmap.
    pub roadmap_id: Uuid,
    /// The title of the roadmap.
    pub title: String,
}

/// A question was asked, or a reply is written again.
#[derive(Clone, Debug, Object)]
pub struct ReplyQueuedEvent {
    /// Identifies the reply.
    pub reply_id: Uuid,
    /// The tool that was asked.
    pub tool_type: String,
}

/// A reply is completed.
#[derive(Clone, Debug, Object)]
pub struct ReplyCompletedEvent {
    /// Identifies the reply.
    pub reply_id: Uuid,
    /// The tool that was asked.
    pub tool_type: String,
}

/// A reply has failed.
#[derive(Clone, Debug, Object)]
pub struct ReplyFailedEvent {
    /// Identifies the reply.
    pub reply_id: Uuid,
    /// The tool that was asked.
    pub tool_type: String,
    /// Why, as a code.
    pub reason: String,
}

/// A reply was cancelled.
#[derive(Clone, Debug, Object)]
pub struct ReplyCancelledEvent {
    /// Identifies the reply.
    pub reply_id: Uuid,
    /// The tool that was asked.
    pub tool_type: String,
    /// Why, as a code.
    pub reason: String,
}

/// A mentor has answered what you asked about a reply.
#[derive(Clone, Debug, Object)]
pub struct MentorAnsweredEvent {
    /// Identifies the reply.
    pub reply_id: Uuid,
    /// The tool that was asked.
    pub tool_type: String,
    /// Identifies the message of the chat with the mentor's answer.
    pub message_id: Uuid,
}

/// A mentor has decided about a project of yours.
#[derive(Clone, Debug, Object)]
pub struct ProjectModerated {
    /// Identifies the project.
    pub project_id: Uuid,
    /// The title of the project.
    pub title: String,
    /// The status that the project has now.
    pub status: String,
    /// The mentor's reason; null if none was given.
    pub reason: Option<String>,
}

/// A session of yours has ended before its time. If it is the session of this stream, the stream ends with this event.
#[derive(Clone, Debug, Object)]
pub struct SessionEnded {
    /// Identifies the session; null for the session of this stream.
    pub session_id: Option<Uuid>,
    /// Why, as a code, such as `logout`, `revoked`, `password_changed`, `suspended`, `role_changed` or `expired`.
    pub reason: String,
}

/// An event of a user. The name of the event is its `type`.
#[derive(Clone, Debug, Union)]
#[oai(discriminator_name = "type", one_of)]
pub enum UserEvent {
    /// The stream begins.
    #[oai(mapping = "ready")]
    Ready(EventsReady),
    /// Events are missing.
    #[oai(mapping = "missed")]
    Missed(EventsMissed),
    /// The progress in a roadmap has changed.
    #[oai(mapping = "progress.updated")]
    Progress(ProgressUpdated),
    /// A stage was completed for the first time.
    #[oai(mapping = "stage.achieved")]
    Stage(StageAchieved),
    /// A roadmap was completed for the first time.
    #[oai(mapping = "roadmap.achieved")]
    Roadmap(RoadmapAchieved),
    /// A question was asked, or a reply is written again.
    #[oai(mapping = "reply.queued")]
    ReplyQueued(ReplyQueuedEvent),
    /// A reply is completed.
    #[oai(mapping = "reply.completed")]
    ReplyCompleted(ReplyCompletedEvent),
    /// A reply has failed.
    #[oai(mapping = "reply.failed")]
    ReplyFailed(ReplyFailedEvent),
    /// A reply was cancelled.
    #[oai(mapping = "reply.cancelled")]
    ReplyCancelled(ReplyCancelledEvent),
    /// A mentor has answered.
    #[oai(mapping = "mentor.answered")]
    MentorAnswered(MentorAnsweredEvent),
    /// A mentor has decided about a project.
    #[oai(mapping = "project.moderated")]
    Project(ProjectModerated),
    /// A session has ended.
    #[oai(mapping = "session.ended")]
    Session(SessionEnded),
}

impl UserEvent {
    /// What a reader is sent for an update; `None` for what this release does not know.
    fn of(update: Update) -> Option<Self> {
        Some(match update {
            Update::Ready => Self::Ready(EventsReady {}),
            Update::Missed => Self::Missed(EventsMissed {}),
            Update::Event(event) => event.into(),
            Update::Unknown => return None,
            Update::Ended { reason } => Self::Session(SessionEnded { session_id: None, reason }),
        })
    }
}

impl From<Stored> for UserEvent {
    fn from(event: Stored) -> Self {
        match event {
            Stored::ProgressUpdated { roadmap_id, seq, status, lessons_completed, lessons_total } => {
                Self::Progress(ProgressUpdated { roadmap_id, seq, status, lessons_completed, lessons_total })
            }
            Stored::StageAchieved { stage_id, roadmap_id, title } => {
                Self::Stage(StageAchieved { stage_id, roadmap_id, title })
            }
            Stored::RoadmapAchieved { roadmap_id, title } => Self::Roadmap(RoadmapAchieved { roadmap_id, title }),
            Stored::ReplyQueued { reply_id, tool_type } => Self::ReplyQueued(ReplyQueuedEvent { reply_id, tool_type }),
            Stored::ReplyCompleted { reply_id, tool_type } => {
                Self::ReplyCompleted(ReplyCompletedEvent { reply_id, tool_type })
            }
            Stored::ReplyFailed { reply_id, tool_type, reason } => {
                Self::ReplyFailed(ReplyFailedEvent { reply_id, tool_type, reason })
            }
            Stored::ReplyCancelled { reply_id, tool_type, reason } => {
                Self::ReplyCancelled(ReplyCancelledEvent { reply_id, tool_type, reason })
            }
            Stored::MentorAnswered { reply_id, tool_type, message_id } => {
                Self::MentorAnswered(MentorAnsweredEvent { reply_id, tool_type, message_id })
            }
            Stored::ProjectModerated { project_id, title, status, reason } => {
                Self::Project(ProjectModerated { project_id, title, status, reason })
            }
            Stored::SessionEnded { session_id, reason } => {
                Self::Session(SessionEnded { session_id: Some(session_id), reason })
            }
        }
    }
}

impl UserEvent {
    /// The name of the event.
    const fn name(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Missed(_) => "missed",
            Self::Progress(_) => "progress.updated",
            Self::Stage(_) => "stage.achieved",
            Self::Roadmap(_) => "roadmap.achieved",
            Self::ReplyQueued(_) => "reply.queued",
            Self::ReplyCompleted(_) => "reply.completed",
            Self::ReplyFailed(_) => "reply.failed",
            Self::ReplyCancelled(_) => "reply.cancelled",
            Self::MentorAnswered(_) => "mentor.answered",
            Self::Project(_) => "project.moderated",
            Self::Session(_) => "session.ended",
        }
    }
}

impl Request for ReadRequest {
    type Position = i64;
    type Update = Update;

    fn advance(&mut self, position: i64) {
        self.position = Some(position);
    }

    fn event(update: Update, position: i64) -> Option<Event> {
        let event = UserEvent::of(update)?;
        Some(Event::message(event.to_json_string()).event_type(event.name()).id(position.to_string()))
    }
}
