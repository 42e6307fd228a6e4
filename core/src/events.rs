//! Events of users: what happened that concerns them, for clients that follow it.
//!
//! An event is written in the transaction of its cause ([`crate::db::Tx::emit`]). The events of a user are numbered from 1,
//! without gaps, and become visible in that order.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Result;

/// Something that happened to a user's progress, replies, projects or sessions. Stored as JSON with its name as `type`, so
/// names and members must stay readable for one release in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum UserEvent {
    /// The progress in a roadmap was recomputed, and has changed.
    #[serde(rename = "progress.updated")]
    ProgressUpdated {
        /// Identifies the roadmap.
        roadmap_id: Uuid,
        /// The number of the last change that is included.
        seq: i64,
        /// The status of the roadmap.
        status: String,
        /// The completed lessons that count.
        lessons_completed: i32,
        /// All lessons that count.
        lessons_total: i32,
    },
    /// A stage was completed for the first time.
    #[serde(rename = "stage.achieved")]
    StageAchieved {
        /// Identifies the stage.
        stage_id: Uuid,
        /// Identifies its roadmap.
        roadmap_id: Uuid,
        /// The title of the stage.
        title: String,
    },
    /// A roadmap was completed for the first time.
    #[serde(rename = "roadmap.achieved")]
    RoadmapAchieved {
        /// Identifies the roadmap.
        roadmap_id: Uuid,
        /// The title of the roadmap.
        title: String,
    },
    /// A reply was requested, or is to be written again.
    #[serde(rename = "reply.queued")]
    ReplyQueued {
        /// Identifies the reply.
        reply_id: Uuid,
        /// The name of the tool.
        tool_type: String,
    },
    /// A reply is completed.
    #[serde(rename = "reply.completed")]
    ReplyCompleted {
        /// Identifies the reply.
        reply_id: Uuid,
        /// The name of the tool.
        tool_type: String,
    },
    /// A reply has failed.
    #[serde(rename = "reply.failed")]
    ReplyFailed {
        /// Identifies the reply.
        reply_id: Uuid,
        /// The name of the tool.
        tool_type: String,
        /// Why, as a code.
        reason: String,
    },
    /// A reply was cancelled.
    #[serde(rename = "reply.cancelled")]
    ReplyCancelled {
        /// Identifies the reply.
        reply_id: Uuid,
        /// The name of the tool.
        tool_type: String,
        /// Why, as a code.
        reason: String,
    },
    /// A mentor has answered a question about a reply.
    #[serde(rename = "mentor.answered")]
    MentorAnswered {
        /// Identifies the reply.
        reply_id: Uuid,
        /// The name of the tool.
        tool_type: String,
        /// Identifies the message with the mentor's answer.
        message_id: Uuid,
    },
    /// A mentor has decided about a project.
    #[serde(rename = "project.moderated")]
    ProjectModerated {
        /// Identifies the project.
        project_id: Uuid,
        /// The title of the project.
        title: String,
        /// The status that the project has now.
        status: String,
        /// The mentor's reason; `None` if none was given.
        reason: Option<String>,
    },
    /// A session has ended before its time.
    #[serde(rename = "session.ended")]
    SessionEnded {
        /// Identifies the session.
        session_id: Uuid,
        /// Why, as a code.
        reason: String,
    },
}

/// Stores events with the next numbers of their users, in the given order. Skips those of users who no longer exist or deleted their account. Locks the
/// users' heads, so nothing else may be locked afterwards: this is the last statement of a transaction.
pub(crate) async fn insert(connection: &mut PgConnection, events: &[(Uuid, UserEvent)]) -> Result<()> {
    let users: Vec<Uuid> = events.iter().map(|(user_id, _)| *user_id).collect();
    let events: Vec<Json<&UserEvent>> = events.iter().map(|(_, event)| Json(event)).collect();
    // The heads are locked in the order of the users, so that two transactions cannot deadlock.
    sqlx::query!(
        "WITH event AS MATERIALIZED (
             SELECT e.user_id, e.event, row_number() OVER (PARTITION BY e.user_id ORDER BY e.nth) AS n
             FROM unnest($1::uuid[], $2::jsonb[]) WITH ORDINALITY AS e (user_id, event, nth)
             WHERE EXISTS (SELECT FROM users u WHERE u.id = e.user_id AND u.erased_at IS NULL)
         ), head AS (
             INSERT INTO user_event_heads AS h (user_id, last_seq)
             SELECT user_id, count(*) FROM event GROUP BY user_id ORDER BY user_id
             ON CONFLICT (user_id) DO UPDATE SET last_seq = h.last_seq + excluded.last_seq
             RETURNING user_id, last_seq
         )
         INSERT INTO user_events (user_id, seq, event)
         SELECT e.user_id, h.last_seq - max(e.n) OVER (PARTITION BY e.user_id) + e.n, e.event
         FROM event e JOIN head h USING (user_id)",
        &users,
        &events as _
    )
    .execute(connection)
    .await?;
    Ok(())
}
