//! The activity log: one row for every accepted action of a user.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::clock::{Clock, new_id};
use crate::db::Tx;
use crate::jobs::{Job, RecordActivity};
use crate::users::{Caller, Origin};

/// What a user did: `noun.past_verb`. Stored as text; a name once used keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says itself")]
pub enum Action {
    UserRegistered,
    UserSignedIn,
    UserSignedOut,
    LessonStarted,
    LessonCompleted,
    LessonReopened,
    TaskChecked,
    TaskUnchecked,
    StageAchieved,
    RoadmapAchieved,
    ProjectCreated,
    ProjectPublished,
    ProjectLiked,
    ProjectUnliked,
    QuestionAsked,
    ReplyReceived,
    ReplyCancelled,
    ReplyRetried,
    ChatCleared,
    InstructionCreated,
    InstructionActivated,
    CourseImported,
    InviteCreated,
    AdminCreated,
    QueuePaused,
    QueueResumed,
    JobRetried,
    JobDiscarded,
    JobsRetried,
    JobsDiscarded,
}

impl Action {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserRegistered => "user.registered",
            Self::UserSignedIn => "user.signed_in",
            Self::UserSignedOut => "user.signed_out",
            Self::LessonStarted => "lesson.started",
            Self::LessonCompleted => "lesson.completed",
            Self::LessonReopened => "lesson.reopened",
            Self::TaskChecked => "task.checked",
            Self::TaskUnchecked => "task.unchecked",
            Self::StageAchieved => "stage.achieved",
            Self::RoadmapAchieved => "roadmap.achieved",
            Self::ProjectCreated => "project.created",
            Self::ProjectPublished => "project.published",
            Self::ProjectLiked => "project.liked",
            Self::ProjectUnliked => "project.unliked",
            Self::QuestionAsked => "question.asked",
            Self::ReplyReceived => "reply.received",
            Self::ReplyCancelled => "reply.cancelled",
            Self::ReplyRetried => "reply.retried",
            Self::ChatCleared => "chat.cleared",
            Self::InstructionCreated => "instruction.created",
            Self::InstructionActivated => "instruction.activated",
            Self::CourseImported => "course.imported",
            Self::InviteCreated => "invite.created",
            Self::AdminCreated => "admin.created",
            Self::QueuePaused => "queue.paused",
            Self::QueueResumed => "queue.resumed",
            Self::JobRetried => "job.retried",
            Self::JobDiscarded => "job.discarded",
            Self::JobsRetried => "jobs.retried",
            Self::JobsDiscarded => "jobs.discarded",
        }
    }
}

/// What an action was done to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// `lesson`, `project`, …
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// Its title at that time, at most 300 characters.
    pub title: String,
}

impl Target {
    /// A target; a title over 300 characters is cut.
    pub fn new(kind: &str, id: Uuid, title: &str) -> Self {
        Self { kind: kind.to_owned(), id, title: title.chars().take(300).collect() }
    }
}

/// One thing that happened. Its id and time are set when it is accepted, so that the row is the same however often the
/// job runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Id of the row.
    pub id: Uuid,
    /// When it was accepted.
    pub occurred_at: DateTime<Utc>,
    /// Who did it; none = the system or the command line.
    pub actor_id: Option<Uuid>,
    /// [`Action::name`].
    pub action: String,
    /// What it was done to.
    pub target: Option<Target>,
    /// Anything else worth keeping; an object.
    pub metadata: serde_json::Value,
    /// Where the request came from.
    pub origin: Origin,
}

impl Event {
    /// An action of a signed-in user.
    pub fn by(caller: &Caller, clock: &Clock, action: Action, target: Option<Target>) -> Self {
        Self { origin: caller.origin.clone(), ..Self::of(Some(caller.user_id), clock, action, target) }
    }

    /// An action without a request: by the system, the command line, or on somebody's behalf.
    pub fn of(actor_id: Option<Uuid>, clock: &Clock, action: Action, target: Option<Target>) -> Self {
        Self {
            id: new_id(),
            occurred_at: clock.now(),
            actor_id,
            action: action.name().to_owned(),
            target,
            metadata: serde_json::json!({}),
            origin: Origin::default(),
        }
    }

    /// What an operator did: an admin through the API, or nobody in particular on the command line.
    pub fn by_operator(operator: Option<&Caller>, clock: &Clock, action: Action, target: Option<Target>) -> Self {
        match operator {
            Some(caller) => Self::by(caller, clock, action, target),
            None => Self::of(None, clock, action, target),
        }
    }

    /// Adds details (an object).
    #[must_use]
    pub fn with(mut self, metadata: serde_json::Value) -> Self {
        self.metadata = metadata;
        self
    }

    /// Has the event recorded if and only if `tx` commits.
    pub fn record(self, tx: &mut Tx) -> Result<()> {
        RecordActivity { event: self }.enqueue(tx)
    }
}

/// Writes events, in one statement, and moves `users.last_active_at` of their actors, at most once a minute each.
/// Events that are already there change nothing.
pub async fn insert(connection: &mut PgConnection, events: &[Event]) -> Result<()> {
    let ids: Vec<Uuid> = events.iter().map(|e| e.id).collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|e| e.occurred_at).collect();
    let actors: Vec<Option<Uuid>> = events.iter().map(|e| e.actor_id).collect();
    let actions: Vec<&str> = events.iter().map(|e| e.action.as_str()).collect();
    let kinds: Vec<Option<&str>> = events.iter().map(|e| e.target.as_ref().map(|t| t.kind.as_str())).collect();
    let target_ids: Vec<Option<Uuid>> = events.iter().map(|e| e.target.as_ref().map(|t| t.id)).collect();
    let titles: Vec<Option<&str>> = events.iter().map(|e| e.target.as_ref().map(|t| t.title.as_str())).collect();
    let metadata: Vec<serde_json::Value> = events.iter().map(|e| e.metadata.clone()).collect();
    let ips: Vec<Option<String>> = events.iter().map(|e| e.origin.ip.map(|ip| ip.to_string())).collect();
    let agents: Vec<Option<&str>> = events.iter().map(|e| e.origin.user_agent.as_deref()).collect();
    sqlx::query!(
        "INSERT INTO activity_log
             (id, occurred_at, actor_id, action, target_type, target_id, target_title, metadata, ip, user_agent)
         SELECT id, occurred_at, actor_id, action, target_type, target_id, target_title, metadata, ip::inet, user_agent
         FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                     $8::jsonb[], $9::text[], $10::text[])
             AS e (id, occurred_at, actor_id, action, target_type, target_id, target_title, metadata, ip, user_agent)
         ORDER BY id  -- so that two groups with the same events do not wait for each other
         ON CONFLICT (id, occurred_at) DO NOTHING",
        &ids,
        &times,
        &actors as &[Option<Uuid>],
        &actions as &[&str],
        &kinds as &[Option<&str>],
        &target_ids as &[Option<Uuid>],
        &titles as &[Option<&str>],
        &metadata,
        &ips as &[Option<String>],
        &agents as &[Option<&str>],
    )
    .execute(&mut *connection)
    .await?;
    // Only users who are due, locked in id order like everywhere else, so that two groups cannot deadlock.
    let due = sqlx::query_scalar!(
        "SELECT u.id FROM users u
         JOIN (SELECT actor_id, max(occurred_at) AS latest FROM unnest($1::uuid[], $2::timestamptz[])
                   AS e (actor_id, occurred_at) GROUP BY actor_id) e ON e.actor_id = u.id
         WHERE u.last_active_at IS NULL OR u.last_active_at < e.latest - interval '1 minute'
         ORDER BY u.id
         FOR NO KEY UPDATE OF u",
        &actors as &[Option<Uuid>],
        &times,
    )
    .fetch_all(&mut *connection)
    .await?;
    if due.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE users u SET last_active_at = e.latest
         FROM (SELECT actor_id, max(occurred_at) AS latest FROM unnest($1::uuid[], $2::timestamptz[])
                   AS e (actor_id, occurred_at) GROUP BY actor_id) e
         WHERE u.id = e.actor_id AND u.id = ANY ($3)
           AND (u.last_active_at IS NULL OR u.last_active_at < e.latest - interval '1 minute')",
        &actors as &[Option<Uuid>],
        &times,
        &due,
    )
    .execute(connection)
    .await?;
    Ok(())
}
