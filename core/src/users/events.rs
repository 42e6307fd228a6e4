//! Following the events of a user. The position of a reader is the number of the last event that it has received; it
//! sends it back when it reconnects to any process, so no process has to remember readers.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::tokens::TokenSubject;
use crate::Result;
use crate::events::UserEvent;
use crate::stream::{Continuation, ReadResult};

/// Most events in one result. A slow reader reads again when it has received them.
const PAGE: usize = 50;

/// What a reader of events is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The stream begins here: a reader that had no position has one now.
    Ready,
    /// Events are missing between the reader's position and this one, because they are no longer kept. The reader has to
    /// load what it shows again.
    Missed,
    /// An event.
    Event(UserEvent),
    /// An event of a type that only a later release knows. It is skipped, but it moves the reader.
    Unknown,
    /// The reader's own session has ended, and so does the stream.
    Ended {
        /// Why, as a code.
        reason: String,
    },
}

/// What a reader wants to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The reader's user and session.
    pub subject: TokenSubject,
    /// The number of the last event that the reader has received; `None` to begin with the next one.
    pub position: Option<i64>,
}

/// Reads for several readers with one statement, and returns their results in order; `None` for a reader whose user or session
/// does not exist.
pub async fn read(
    connection: &mut PgConnection,
    requests: &[ReadRequest],
    now: DateTime<Utc>,
) -> Result<Vec<Option<ReadResult<i64, Update>>>> {
    let users: Vec<Uuid> = requests.iter().map(|request| request.subject.user_id).collect();
    let sessions: Vec<Uuid> = requests.iter().map(|request| request.subject.session_id).collect();
    let positions: Vec<Option<i64>> = requests.iter().map(|request| request.position).collect();
    // The limits make each lookup use a key, whatever the planner expects.
    let rows = sqlx::query_as!(
        Found,
        r#"SELECT w.nth AS "nth!", s.ended, coalesce(h.last_seq, 0) AS "last_seq!",
               coalesce(page.seqs, '{}') AS "seqs!", coalesce(page.events, '{}') AS "events!"
           FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS w (user_id, session_id, position, nth)
           CROSS JOIN LATERAL (
               SELECT CASE
                   WHEN u.deleted_at IS NOT NULL THEN 'deleted'
                   WHEN u.status <> 'active' THEN 'suspended'
                   WHEN s.revoked_at IS NOT NULL THEN s.revoke_reason
                   WHEN s.expires_at <= $4 THEN 'expired'
               END AS ended
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.id = w.session_id AND s.user_id = w.user_id LIMIT 1
           ) s
           LEFT JOIN LATERAL (SELECT h.last_seq FROM user_event_heads h WHERE h.user_id = w.user_id LIMIT 1) h ON true
           CROSS JOIN LATERAL (
               SELECT array_agg(p.seq ORDER BY p.seq) AS seqs, array_agg(p.event ORDER BY p.seq) AS events
               FROM (SELECT e.seq, e.event FROM user_events e
                     WHERE e.user_id = w.user_id AND e.seq > w.position
                     ORDER BY e.seq LIMIT $5) p
           ) page"#,
        &users,
        &sessions,
        &positions as &[Option<i64>],
        now,
        i64::try_from(PAGE).unwrap_or(i64::MAX)
    )
    .fetch_all(connection)
    .await?;
    let mut results = vec![None; requests.len()];
    for found in rows {
        let index = usize::try_from(found.nth).unwrap_or_default().wrapping_sub(1);
        if let (Some(result), Some(request)) = (results.get_mut(index), requests.get(index)) {
            *result = Some(found.result(request.position));
        }
    }
    Ok(results)
}

/// What is stored for a reader.
#[derive(Clone, Debug)]
struct Found {
    nth: i64,
    /// Why the reader's session has ended; `None` if it has not.
    ended: Option<String>,
    /// The number of the user's last event; 0 if there never was one.
    last_seq: i64,
    /// The numbers of the events after the reader's position.
    seqs: Vec<i64>,
    /// These events, in the same order.
    events: Vec<Value>,
}

impl Found {
    fn result(self, position: Option<i64>) -> ReadResult<i64, Update> {
        if let Some(reason) = self.ended {
            let position = position.unwrap_or(self.last_seq);
            return ReadResult { updates: vec![(position, Update::Ended { reason })], next: Continuation::Finished };
        }
        let Some(position) = position else {
            return ReadResult { updates: vec![(self.last_seq, Update::Ready)], next: Continuation::Wait };
        };
        let next = if self.seqs.len() == PAGE { Continuation::Read } else { Continuation::Wait };
        let mut updates = Vec::with_capacity(self.seqs.len() + 1);
        // A position beyond the last event is from before the database was restored.
        let expected = self.seqs.first().map_or(self.last_seq, |first| first - 1);
        if position != expected {
            updates.push((expected, Update::Missed));
        }
        for (seq, event) in self.seqs.into_iter().zip(self.events) {
            updates.push((seq, serde_json::from_value(event).map_or(Update::Unknown, Update::Event)));
        }
        ReadResult { updates, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(last_seq: i64, seqs: &[i64]) -> Found {
        let event = |seq: &i64| serde_json::json!({"type": "reply.completed", "reply_id": Uuid::from_u128(7), "tool_type": seq.to_string()});
        let events = seqs.iter().map(event).collect();
        Found { nth: 1, ended: None, last_seq, seqs: seqs.to_vec(), events }
    }

    fn positions(found: Found, position: Option<i64>) -> Vec<(i64, &'static str)> {
        let name = |update: &Update| match update {
            Update::Ready => "ready",
            Update::Missed => "missed",
            Update::Event(_) => "event",
            Update::Unknown => "unknown",
            Update::Ended { .. } => "ended",
        };
        found.result(position).updates.iter().map(|(position, update)| (*position, name(update))).collect()
    }

    #[test]
    fn a_reader_begins_at_the_end_and_resumes_where_it_was() {
        assert_eq!(positions(found(0, &[]), None), [(0, "ready")]);
        assert_eq!(positions(found(9, &[]), None), [(9, "ready")]);
        assert_eq!(positions(found(9, &[]), Some(9)), []);
        assert_eq!(positions(found(9, &[8, 9]), Some(7)), [(8, "event"), (9, "event")]);
        assert_eq!(positions(found(1, &[1]), Some(0)), [(1, "event")]);
    }

    #[test]
    fn a_reader_is_told_that_events_are_no_longer_kept() {
        assert_eq!(positions(found(9, &[8, 9]), Some(3)), [(7, "missed"), (8, "event"), (9, "event")]);
        assert_eq!(positions(found(9, &[]), Some(3)), [(9, "missed")]);
        assert_eq!(positions(found(9, &[]), Some(12)), [(9, "missed")], "the database is older than the reader");
    }

    #[test]
    fn a_full_page_is_followed_by_another() {
        let seqs: Vec<i64> = (1..=i64::try_from(PAGE).unwrap()).collect();
        assert_eq!(found(100, &seqs).result(Some(0)).next, Continuation::Read);
        assert_eq!(found(100, &[1]).result(Some(0)).next, Continuation::Wait);
    }

    #[test]
    fn unknown_events_move_the_reader() {
        let mut found = found(2, &[1, 2]);
        found.events[0] = serde_json::json!({"type": "later.invention"});
        assert_eq!(positions(found, Some(0)), [(1, "unknown"), (2, "event")]);
    }

    #[test]
    fn the_end_of_the_session_ends_the_stream() {
        let ended = Found { ended: Some("suspended".to_owned()), ..found(5, &[5]) };
        let result = ended.result(Some(4));
        assert_eq!(result.updates, [(4, Update::Ended { reason: "suspended".to_owned() })]);
        assert_eq!(result.next, Continuation::Finished);
    }
}
