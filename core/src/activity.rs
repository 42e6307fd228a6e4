//! The activity log, which has one row for every accepted action of a user.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::actor::{Actor, Origin};
use crate::clock::new_id;
use crate::db::Tx;
use crate::noun::Noun;
use crate::queue::{Job, Queue};

/// What is done to a [`Noun`]. The names are stored, so their meaning must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each names itself")]
pub enum Verb {
    Achieved,
    Activated,
    Answered,
    Approved,
    Archived,
    Asked,
    Cancelled,
    Checked,
    Cleared,
    Completed,
    Copied,
    Created,
    Deleted,
    Discarded,
    Exported,
    Favorited,
    Imported,
    Liked,
    Locked,
    Paused,
    Published,
    Rated,
    Read,
    Received,
    Refused,
    Registered,
    Rejected,
    Reopened,
    Reordered,
    Reset,
    Restored,
    Resumed,
    Retried,
    Reused,
    Revoked,
    SignInFailed,
    SignedIn,
    SignedOut,
    Started,
    Submitted,
    Suspended,
    Unchecked,
    Unfavorited,
    Unliked,
    Unpublished,
    Unrated,
    Updated,
    Used,
    Verified,
    Warned,
    Withdrawn,
}

impl Verb {
    /// The stored name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The object of an action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The name of its [`Noun`].
    pub kind: String,
    /// Identifies the object.
    pub id: Uuid,
    /// The title at that time, at most 300 characters.
    pub title: String,
}

impl Target {
    /// Builds a target. Titles are cut after 300 characters.
    pub fn new(noun: Noun, id: Uuid, title: &str) -> Self {
        Self { kind: noun.name().to_owned(), id, title: title.chars().take(300).collect() }
    }
}

/// A row of the activity log. Id and time are set when the action is accepted, so that the job that writes the row can be
/// repeated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Identifies the row.
    pub id: Uuid,
    /// When the action was accepted.
    pub occurred_at: DateTime<Utc>,
    /// The user who acted; `None` for the platform or the command line.
    pub actor_id: Option<Uuid>,
    /// The names of a [`Noun`] and a [`Verb`], joined by a dot.
    pub action: String,
    /// The object of the action; `None` if it has none.
    pub target: Option<Target>,
    /// Further details; a JSON object.
    pub metadata: Value,
    /// Where the request came from.
    pub origin: Origin,
}

/// An action to record. The transaction knows who acts, when, and from where.
#[derive(Debug)]
#[must_use = "an action is recorded only when it is passed to Tx::record"]
pub struct Action {
    noun: Noun,
    verb: Verb,
    actor_id: Option<Uuid>,
    target: Option<Target>,
    metadata: Value,
}

impl Action {
    /// An action of the transaction's actor.
    pub fn new(noun: Noun, verb: Verb) -> Self {
        Self { noun, verb, actor_id: None, target: None, metadata: json!({}) }
    }

    /// Sets the object of the action, which is of the noun of the action.
    pub fn on(self, id: Uuid, title: &str) -> Self {
        let target = Target::new(self.noun, id, title);
        self.target(Some(target))
    }

    /// Sets an object of another noun.
    pub fn target(self, target: Option<Target>) -> Self {
        Self { target, ..self }
    }

    /// Adds details, which must be a JSON object.
    pub fn with(self, metadata: Value) -> Self {
        Self { metadata, ..self }
    }

    /// Names the user who acted, if the transaction does not belong to them.
    pub fn by(self, user_id: Uuid) -> Self {
        Self { actor_id: Some(user_id), ..self }
    }

    /// The row to store for this action.
    pub fn into_event(self, actor: &Actor, occurred_at: DateTime<Utc>) -> Event {
        Event {
            id: new_id(),
            occurred_at,
            actor_id: self.actor_id.or(actor.user_id),
            action: format!("{}.{}", self.noun.name(), self.verb.name()),
            target: self.target,
            metadata: self.metadata,
            origin: actor.origin.clone(),
        }
    }
}

impl Tx {
    /// Records an action if and only if the transaction commits.
    pub fn record(&mut self, action: Action) -> Result<()> {
        let event = action.into_event(self.actor(), self.now());
        self.enqueue(&RecordActivity { event })
    }
}

/// Writes one row of the activity log. Running the job again has no effect, because the event contains the id of the row.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordActivity {
    /// The row to write.
    pub event: Event,
}

impl Job for RecordActivity {
    const KIND: &'static str = "record_activity";
    const QUEUE: Queue = Queue::Activity;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Writes events in one statement and updates `users.last_active_at` of their actors, at most once a minute for each user.
/// Events that are stored already are skipped. What a user did or suffered who has deleted their account meanwhile is
/// stored without addresses and names, as the erasure leaves it.
///
/// Returns the users whose time could not be updated because another transaction has locked them. The caller has to try their
/// events again.
pub async fn insert(connection: &mut PgConnection, events: &[Event]) -> Result<Vec<Uuid>> {
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
         SELECT e.id, e.occurred_at, e.actor_id, e.action, e.target_type, e.target_id,
             CASE WHEN target.id IS NULL AND (actor.id IS NULL OR e.target_type <> 'project') THEN e.target_title END,
             CASE WHEN target.id IS NULL AND (actor.id IS NULL OR e.target_type <> 'project') THEN e.metadata ELSE '{}' END,
             CASE WHEN actor.id IS NULL THEN e.ip::inet END, CASE WHEN actor.id IS NULL THEN e.user_agent END
         FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                     $8::jsonb[], $9::text[], $10::text[])
             AS e (id, occurred_at, actor_id, action, target_type, target_id, target_title, metadata, ip, user_agent)
         LEFT JOIN users actor ON actor.id = e.actor_id AND actor.erased_at IS NOT NULL
         LEFT JOIN users target ON target.id = e.target_id AND target.erased_at IS NOT NULL
         ORDER BY e.id  -- the same order in every transaction, so that two that share events cannot deadlock
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
    // Locks only the users whose time is out of date, and waits for none of them, so nobody waits for the user of another.
    let rows = sqlx::query!(
        r#"WITH latest AS (
               SELECT actor_id, max(occurred_at) AS latest FROM unnest($1::uuid[], $2::timestamptz[])
                   AS e (actor_id, occurred_at) GROUP BY actor_id
           ), locked AS (
               SELECT u.id FROM users u JOIN latest e ON e.actor_id = u.id
               WHERE u.last_active_at IS NULL OR u.last_active_at < e.latest - interval '1 minute'
               ORDER BY u.id
               FOR NO KEY UPDATE OF u SKIP LOCKED
           )
           SELECT u.id, locked.id IS NOT NULL AS "is_ours!"
           FROM users u JOIN latest e ON e.actor_id = u.id LEFT JOIN locked ON locked.id = u.id
           WHERE u.last_active_at IS NULL OR u.last_active_at < e.latest - interval '1 minute'"#,
        &actors as &[Option<Uuid>],
        &times,
    )
    .fetch_all(&mut *connection)
    .await?;
    let (due, blocked): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_ours);
    let [due, blocked] = [due, blocked].map(|rows| rows.into_iter().map(|row| row.id).collect::<Vec<Uuid>>());
    if due.is_empty() {
        return Ok(blocked);
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
    Ok(blocked)
}
