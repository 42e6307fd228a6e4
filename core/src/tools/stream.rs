//! Following a reply while it is generated: what a reader has received, and what comes next.
//!
//! A reader has a [`Position`]. It is sent with every event, and the reader sends it back when it reconnects to any process, so
//! no process has to remember readers. Each read is answered from the stored rows, by position.
//!
//! ```text
//! 0.0 ── text 1.1, 1.2, … ──┬── end ─► 1.end
//!                           └── restarted 2.0: drop the text ── text 2.1, … ── end ─► 2.end
//! ```

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::replies::ReplyState;
use crate::Result;
use crate::stream::{Continuation, ReadResult};
use crate::users::tokens::TokenSubject;

/// Most chunks in one result. A slow reader reads again when it has received them.
const PAGE: usize = 32;

/// How much of a reply a reader has received. Written as `attempt.seq`, or `attempt.end` if it has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    attempt: i32,
    /// The last chunk of that attempt that the reader has; [`Position::END`] if it has all of them and how the reply ended.
    seq: i32,
}

impl Position {
    const END: i32 = i32::MAX;

    const fn end(attempt: i32) -> Self {
        Self { attempt, seq: Self::END }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Self::END => write!(f, "{}.end", self.attempt),
            seq => write!(f, "{}.{seq}", self.attempt),
        }
    }
}

/// The text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an event of this stream")]
pub struct MalformedPosition;

impl FromStr for Position {
    type Err = MalformedPosition;

    fn from_str(text: &str) -> Result<Self, MalformedPosition> {
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let number = part.parse().ok().filter(|number| *number < Self::END);
            number.filter(|_| digits).ok_or(MalformedPosition)
        };
        let (attempt, seq) = text.split_once('.').ok_or(MalformedPosition)?;
        Ok(Self { attempt: number(attempt)?, seq: if seq == "end" { Self::END } else { number(seq)? } })
    }
}

/// A change of a reply, for a reader that follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyUpdate {
    /// The text starts over: the reader drops what it has.
    Restarted,
    /// The next chunk of text.
    Text(String),
    /// The next chunk of what the model thinks, which is no part of the text.
    Thinking(String),
    /// The reply is completed.
    Completed {
        /// The message with the answer; `None` if it was cleared since.
        message_id: Option<Uuid>,
        /// Whether the answer contains a block to copy.
        has_copyable_content: bool,
    },
    /// The reply has failed.
    Failed {
        /// The code of the [`super::Reason`].
        reason: String,
    },
    /// The reply was cancelled.
    Cancelled {
        /// The code of the [`super::Reason`].
        reason: String,
        /// The message with the incomplete answer; `None` if there was no text, or it was cleared.
        message_id: Option<Uuid>,
    },
}

/// What a reader wants to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The id of the reply.
    pub reply_id: Uuid,
    /// The reader's session.
    pub subject: TokenSubject,
    /// How much of it the reader has received.
    pub position: Position,
}

/// Reads for several readers, and returns their results in order; `None` for a reader who may not, or no longer, read the reply:
/// it belongs to somebody else or was removed, or the session has ended. One statement serves all of them, so that many
/// readers cost little more than few.
pub async fn read(
    connection: &mut PgConnection,
    requests: &[ReadRequest],
    now: DateTime<Utc>,
) -> Result<Vec<Option<ReadResult<Position, ReplyUpdate>>>> {
    let replies: Vec<Uuid> = requests.iter().map(|request| request.reply_id).collect();
    let users: Vec<Uuid> = requests.iter().map(|request| request.subject.user_id).collect();
    let sessions: Vec<Uuid> = requests.iter().map(|request| request.subject.session_id).collect();
    let attempts: Vec<i32> = requests.iter().map(|request| request.position.attempt).collect();
    let seqs: Vec<i32> = requests.iter().map(|request| request.position.seq).collect();
    // The limits make each lookup use a key. Otherwise the planner may read all users for a few readers.
    // The last chunk that a reader has is read too, without its text. It shows that the position is valid, and that the chunks
    // have not been removed since. Chunks are removed for a whole reply at once.
    let rows = sqlx::query_as!(
        Found,
        r#"SELECT w.nth AS "nth!", r.attempt AS "attempt!", r.state AS "state!: ReplyState", r.reason,
               r.answer_id, coalesce(m.has_copyable_content, false) AS "has_copyable_content!", pieces.first_seq,
               coalesce(pieces.texts, '{}') AS "texts!", coalesce(pieces.thoughts, '{}') AS "thoughts!",
               CASE WHEN has.seq = 0 AND pieces.first_seq IS NULL THEN m.content END AS whole_text
           FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::integer[])
               WITH ORDINALITY AS w (reply_id, user_id, session_id, attempt, seq, nth)
           CROSS JOIN LATERAL (
               SELECT r.id, r.attempt, r.state, r.reason, r.answer_id
               FROM ai_replies r
               JOIN users u ON u.id = r.user_id AND u.status = 'active' AND u.deleted_at IS NULL
               JOIN sessions s ON s.id = w.session_id AND s.user_id = u.id AND s.revoked_at IS NULL AND s.expires_at > $6
               WHERE r.id = w.reply_id AND r.user_id = w.user_id LIMIT 1
           ) r
           LEFT JOIN LATERAL (SELECT m.* FROM tool_messages m WHERE m.id = r.answer_id LIMIT 1) m ON true
           CROSS JOIN LATERAL (SELECT CASE WHEN w.attempt = r.attempt THEN w.seq ELSE 0 END AS seq) has
           CROSS JOIN LATERAL (
               SELECT min(page.seq) AS first_seq, array_agg(page.text ORDER BY page.seq) AS texts,
                   array_agg(page.is_thinking ORDER BY page.seq) AS thoughts
               FROM (SELECT k.seq, CASE WHEN k.seq > has.seq THEN k.content ELSE '' END AS text, k.is_thinking
                     FROM ai_reply_chunks k
                     WHERE k.reply_id = r.id AND k.attempt = r.attempt AND k.seq >= has.seq
                     ORDER BY k.seq LIMIT $7) page
           ) pieces"#,
        &replies,
        &users,
        &sessions,
        &attempts,
        &seqs,
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

/// The stored state of a reply, from a reader's position.
#[derive(Clone, Debug)]
struct Found {
    nth: i64,
    attempt: i32,
    state: ReplyState,
    reason: Option<String>,
    answer_id: Option<Uuid>,
    has_copyable_content: bool,
    /// The number of the first of `texts`, which is the reader's last chunk if its position is in this attempt.
    first_seq: Option<i32>,
    texts: Vec<String>,
    /// Which of them the model only thinks.
    thoughts: Vec<bool>,
    /// The whole answer, if the reader has none of it and its chunks have been removed.
    whole_text: Option<String>,
}

impl Found {
    fn result(self, has: Position) -> ReadResult<Position, ReplyUpdate> {
        let end = self.end();
        if end.is_some() && has == Position::end(self.attempt) {
            return ReadResult { updates: Vec::new(), next: Continuation::Finished };
        }
        let mut at = Position { attempt: self.attempt, seq: 0 };
        let mut updates = Vec::new();
        let is_here = has.attempt == self.attempt && has.seq > 0;
        if has.seq > 0 && !(is_here && self.first_seq == Some(has.seq)) {
            updates.push((at, ReplyUpdate::Restarted));
            if is_here {
                // The chunks have been removed, so the reader has to start over.
                return ReadResult { updates, next: Continuation::Read };
            }
        }
        let is_full = self.texts.len() == PAGE;
        let mut chunks: Vec<(String, bool)> = self.texts.into_iter().zip(self.thoughts).collect();
        if is_here {
            at = has;
            chunks.remove(0);
        }
        for (text, is_thinking) in chunks.into_iter().chain(self.whole_text.map(|text| (text, false))) {
            at.seq += 1;
            updates.push((at, if is_thinking { ReplyUpdate::Thinking(text) } else { ReplyUpdate::Text(text) }));
        }
        if is_full {
            return ReadResult { updates, next: Continuation::Read };
        }
        let next = if end.is_some() { Continuation::Finished } else { Continuation::Wait };
        updates.extend(end.map(|end| (Position::end(self.attempt), end)));
        ReadResult { updates, next }
    }

    /// How the reply ended, if it did.
    fn end(&self) -> Option<ReplyUpdate> {
        let reason = || self.reason.clone().unwrap_or_default();
        match self.state {
            ReplyState::Queued | ReplyState::Streaming => None,
            ReplyState::Completed => Some(ReplyUpdate::Completed {
                message_id: self.answer_id,
                has_copyable_content: self.has_copyable_content,
            }),
            ReplyState::Failed => Some(ReplyUpdate::Failed { reason: reason() }),
            ReplyState::Cancelled => Some(ReplyUpdate::Cancelled { reason: reason(), message_id: self.answer_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Position {
        text.parse().unwrap()
    }

    /// What the query finds for a reader. `texts` are all stored chunks of the attempt.
    fn found(attempt: i32, state: ReplyState, texts: &[&str], has: &str, answer: Option<&str>) -> Found {
        let seq = if at(has).attempt == attempt { at(has).seq } else { 0 };
        let stored: Vec<(i32, &str)> = (1..).zip(texts.iter().copied()).filter(|(n, _)| *n >= seq).take(PAGE).collect();
        Found {
            nth: 1,
            attempt,
            state,
            reason: Some("why".to_owned()),
            answer_id: answer.map(|_| Uuid::from_u128(1)),
            has_copyable_content: true,
            first_seq: stored.first().map(|(n, _)| *n),
            texts: stored.iter().map(|(n, text)| if *n > seq { (*text).to_owned() } else { String::new() }).collect(),
            thoughts: stored.iter().map(|(_, text)| text.starts_with('?')).collect(),
            whole_text: answer.filter(|_| seq == 0 && stored.is_empty()).map(str::to_owned),
        }
    }

    /// The events of a reader that starts at `has` and reads until it has to wait or is finished.
    fn follow(
        attempt: i32,
        state: ReplyState,
        texts: &[&str],
        has: &str,
        answer: Option<&str>,
    ) -> (Vec<String>, Continuation) {
        let (mut has, mut events) = (at(has), Vec::new());
        loop {
            let result = found(attempt, state, texts, &has.to_string(), answer).result(has);
            for (position, update) in result.updates {
                let what = match update {
                    ReplyUpdate::Restarted => "restarted".to_owned(),
                    ReplyUpdate::Text(text) => text,
                    ReplyUpdate::Thinking(text) => format!("thinking {text}"),
                    ReplyUpdate::Completed { .. } => "completed".to_owned(),
                    ReplyUpdate::Failed { reason } => format!("failed {reason}"),
                    ReplyUpdate::Cancelled { reason, .. } => format!("cancelled {reason}"),
                };
                events.push(format!("{position} {what}"));
                has = position;
            }
            if result.next != Continuation::Read {
                return (events, result.next);
            }
        }
    }

    #[test]
    fn positions_are_formatted_and_parsed() {
        for text in ["0.0", "1.7", "2.end", "2147483646.2147483646"] {
            assert_eq!(at(text).to_string(), text);
        }
        for text in
            ["", ".", "1", "1.", ".1", "-1.0", "+1.0", "1.-1", "1.x", "1.2.3", "end.1", "2147483647.0", "1.2147483647"]
        {
            assert_eq!(text.parse::<Position>(), Err(MalformedPosition), "{text}");
        }
    }

    #[test]
    fn a_reader_gets_what_is_missing_and_then_waits() {
        use ReplyState::{Queued, Streaming};
        let texts = ["a", "b", "c"];
        assert_eq!(follow(0, Queued, &[], "0.0", None), (vec![], Continuation::Wait));
        let (events, next) = follow(1, Streaming, &texts, "0.0", None);
        assert_eq!((events, next), (vec!["1.1 a".into(), "1.2 b".into(), "1.3 c".into()], Continuation::Wait));
        assert_eq!(follow(1, Streaming, &texts, "1.2", None), (vec!["1.3 c".into()], Continuation::Wait));
        assert_eq!(follow(1, Streaming, &texts, "1.3", None), (vec![], Continuation::Wait));
    }

    #[test]
    fn thoughts_are_told_from_text() {
        let texts = ["?hm", "a", "?more", "b"];
        let (events, _) = follow(1, ReplyState::Streaming, &texts, "0.0", None);
        assert_eq!(events, ["1.1 thinking ?hm", "1.2 a", "1.3 thinking ?more", "1.4 b"]);
        assert_eq!(follow(1, ReplyState::Streaming, &texts, "1.2", None).0, ["1.3 thinking ?more", "1.4 b"]);
    }

    #[test]
    fn a_slow_reader_reads_page_by_page() {
        let texts: Vec<String> = (1..=100).map(|n| format!("t{n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for start in [0, 1, 31, 32, 33, 99, 100] {
            let (events, next) = follow(1, ReplyState::Completed, &texts, &format!("1.{start}"), Some("unused"));
            let expected: Vec<String> = (start + 1..=100).map(|n| format!("1.{n} t{n}")).collect();
            assert_eq!(events, [expected, vec!["1.end completed".into()]].concat(), "from {start}");
            assert_eq!(next, Continuation::Finished);
        }
    }

    #[test]
    fn a_new_attempt_makes_readers_drop_their_text() {
        let texts = ["x", "y"];
        let (events, _) = follow(2, ReplyState::Streaming, &texts, "1.5", None);
        assert_eq!(events, ["2.0 restarted", "2.1 x", "2.2 y"]);
        // Readers without text have nothing to drop.
        for has in ["1.0", "0.0"] {
            assert_eq!(follow(2, ReplyState::Streaming, &texts, has, None).0, ["2.1 x", "2.2 y"]);
        }
        // The reply was retried after the reader had seen it fail. The text is dropped before there is new text.
        assert_eq!(
            follow(2, ReplyState::Queued, &[], "1.end", None),
            (vec!["2.0 restarted".into()], Continuation::Wait)
        );
    }

    #[test]
    fn an_invalid_position_starts_over() {
        let texts = ["x", "y"];
        for has in ["1.3", "1.end", "7.1"] {
            let (events, _) = follow(1, ReplyState::Streaming, &texts, has, None);
            assert_eq!(events, ["1.0 restarted", "1.1 x", "1.2 y"], "{has}");
        }
    }

    #[test]
    fn the_end_is_sent_once() {
        let texts = ["x"];
        let end = |state, has| follow(3, state, &texts, has, Some("x"));
        assert_eq!(end(ReplyState::Completed, "3.1"), (vec!["3.end completed".into()], Continuation::Finished));
        assert_eq!(end(ReplyState::Failed, "3.1"), (vec!["3.end failed why".into()], Continuation::Finished));
        assert_eq!(end(ReplyState::Cancelled, "3.1"), (vec!["3.end cancelled why".into()], Continuation::Finished));
        for state in [ReplyState::Completed, ReplyState::Failed, ReplyState::Cancelled] {
            assert_eq!(end(state, "3.end"), (vec![], Continuation::Finished));
        }
    }

    #[test]
    fn a_reader_gets_the_whole_text_after_the_chunks_were_removed() {
        let end = |has| follow(1, ReplyState::Completed, &[], has, Some("whole")).0;
        assert_eq!(end("0.0"), ["1.1 whole", "1.end completed"]);
        for has in ["1.1", "1.5"] {
            assert_eq!(end(has), ["1.0 restarted", "1.1 whole", "1.end completed"]);
        }
        assert_eq!(end("1.end"), Vec::<String>::new());
        // The reply was cleared, so there is no text left.
        let cleared = |has| follow(1, ReplyState::Cancelled, &[], has, None).0;
        assert_eq!(cleared("1.5"), ["1.0 restarted", "1.end cancelled why"]);
        assert_eq!(cleared("0.0"), ["1.end cancelled why"]);
    }
}
