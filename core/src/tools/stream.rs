//! Following a reply while it is written: what a reader has, and what comes next.
//!
//! A reader's place is a [`Position`]. It goes out with every event and comes back when the reader returns, to whatever
//! process, so that nobody remembers readers: each step is read from the rows, by position.
//!
//! ```text
//! 0.0 ── text 1.1, 1.2, … ──┬── over ─► 1.end
//!                           └── restarted 2.0: drop the text ── text 2.1, … ── over ─► 2.end
//! ```

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::replies::ReplyState;
use crate::Result;
use crate::users::tokens::TokenSubject;

/// Most pieces of text in one step: a reader that lags reads on when it has taken them.
const PAGE: usize = 32;

/// How much of a reply a reader has. Written as `attempt.seq`, or `attempt.end` when it has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    attempt: i32,
    /// Pieces of that attempt that the reader has; [`Position::END`] = all, and how it ended.
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

/// Not the position of any reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of an event of this stream")]
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

/// What happened to a reply, to somebody who follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The text begins anew: the reader drops what it has.
    Restarted,
    /// The next piece of text.
    Text(String),
    /// Over: the answer is a message of the chat; none = it was cleared since.
    Completed {
        /// The message.
        message_id: Option<Uuid>,
        /// Whether it holds a block to copy.
        has_copyable_content: bool,
    },
    /// Over: given up.
    Failed {
        /// Code of the [`super::Reason`].
        reason: String,
    },
    /// Over: stopped.
    Cancelled {
        /// Code of the [`super::Reason`].
        reason: String,
        /// The message with what there was of the answer; none if there was nothing, or it was cleared.
        message_id: Option<Uuid>,
    },
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more: read again.
    Read,
    /// Wait until something happens.
    Wait,
    /// The reader has everything.
    Over,
}

/// What a reader gets at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What happened since, in order, each with the reader's position after it.
    pub news: Vec<(Position, News)>,
    /// What then.
    pub next: Next,
}

/// Who wants to read what.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The reply.
    pub reply_id: Uuid,
    /// The reader's session.
    pub subject: TokenSubject,
    /// What the reader has.
    pub position: Position,
}

/// The next step of each reader, in order; `None` for one who may not read (any more): the reply is not theirs or gone, or
/// the session has ended. One statement for all of them, so that many readers cost little more than few.
pub async fn read(connection: &mut PgConnection, wanted: &[Wanted], now: DateTime<Utc>) -> Result<Vec<Option<Step>>> {
    let replies: Vec<Uuid> = wanted.iter().map(|wanted| wanted.reply_id).collect();
    let users: Vec<Uuid> = wanted.iter().map(|wanted| wanted.subject.user_id).collect();
    let sessions: Vec<Uuid> = wanted.iter().map(|wanted| wanted.subject.session_id).collect();
    let attempts: Vec<i32> = wanted.iter().map(|wanted| wanted.position.attempt).collect();
    let seqs: Vec<i32> = wanted.iter().map(|wanted| wanted.position.seq).collect();
    // The limits keep each lookup one by key: joined freely, the planner may read all users for a few readers.
    // The last piece that a reader has comes too, without its text: it shows that the position is one, and that the
    // pieces have not been removed since. Pieces are removed for a whole reply at once.
    let rows = sqlx::query_as!(
        Found,
        r#"SELECT w.nth AS "nth!", r.attempt AS "attempt!", r.state AS "state!: ReplyState", r.reason,
               r.answer_id, coalesce(m.has_copyable_content, false) AS "has_copyable_content!", pieces.first_seq,
               coalesce(pieces.texts, '{}') AS "texts!",
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
               SELECT min(page.seq) AS first_seq, array_agg(page.text ORDER BY page.seq) AS texts
               FROM (SELECT k.seq, CASE WHEN k.seq > has.seq THEN k.content ELSE '' END AS text
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
    let mut steps = vec![None; wanted.len()];
    for found in rows {
        let place = usize::try_from(found.nth).unwrap_or_default().wrapping_sub(1);
        if let (Some(step), Some(wanted)) = (steps.get_mut(place), wanted.get(place)) {
            *step = Some(found.step(wanted.position));
        }
    }
    Ok(steps)
}

/// What is stored of a reply, from a reader's position on.
#[derive(Clone, Debug)]
struct Found {
    nth: i64,
    attempt: i32,
    state: ReplyState,
    reason: Option<String>,
    answer_id: Option<Uuid>,
    has_copyable_content: bool,
    /// Of the first of `texts`: the reader's own, if its position is in this attempt.
    first_seq: Option<i32>,
    texts: Vec<String>,
    /// The answer, if the reader has nothing of it and its pieces have been removed.
    whole_text: Option<String>,
}

impl Found {
    fn step(self, has: Position) -> Step {
        let over = self.over();
        if over.is_some() && has == Position::end(self.attempt) {
            return Step { news: Vec::new(), next: Next::Over };
        }
        let mut at = Position { attempt: self.attempt, seq: 0 };
        let mut news = Vec::new();
        let is_here = has.attempt == self.attempt && has.seq > 0;
        if has.seq > 0 && !(is_here && self.first_seq == Some(has.seq)) {
            news.push((at, News::Restarted));
            if is_here {
                // The pieces have been removed: from the start, then.
                return Step { news, next: Next::Read };
            }
        }
        let is_full = self.texts.len() == PAGE;
        let mut texts = self.texts;
        if is_here {
            at = has;
            texts.remove(0);
        }
        for text in texts.into_iter().chain(self.whole_text) {
            at.seq += 1;
            news.push((at, News::Text(text)));
        }
        if is_full {
            return Step { news, next: Next::Read };
        }
        let next = if over.is_some() { Next::Over } else { Next::Wait };
        news.extend(over.map(|over| (Position::end(self.attempt), over)));
        Step { news, next }
    }

    /// How the reply ended, if it did.
    fn over(&self) -> Option<News> {
        let reason = || self.reason.clone().unwrap_or_default();
        match self.state {
            ReplyState::Queued | ReplyState::Streaming => None,
            ReplyState::Completed => {
                Some(News::Completed { message_id: self.answer_id, has_copyable_content: self.has_copyable_content })
            }
            ReplyState::Failed => Some(News::Failed { reason: reason() }),
            ReplyState::Cancelled => Some(News::Cancelled { reason: reason(), message_id: self.answer_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Position {
        text.parse().unwrap()
    }

    /// What the query finds for a reader: `texts` are all pieces that are stored of the attempt.
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
            whole_text: answer.filter(|_| seq == 0 && stored.is_empty()).map(str::to_owned),
        }
    }

    /// The events of a reader that starts at `has` and reads until it has to wait or has everything.
    fn follow(attempt: i32, state: ReplyState, texts: &[&str], has: &str, answer: Option<&str>) -> (Vec<String>, Next) {
        let (mut has, mut events) = (at(has), Vec::new());
        loop {
            let step = found(attempt, state, texts, &has.to_string(), answer).step(has);
            for (position, news) in step.news {
                let what = match news {
                    News::Restarted => "restarted".to_owned(),
                    News::Text(text) => text,
                    News::Completed { .. } => "completed".to_owned(),
                    News::Failed { reason } => format!("failed {reason}"),
                    News::Cancelled { reason, .. } => format!("cancelled {reason}"),
                };
                events.push(format!("{position} {what}"));
                has = position;
            }
            if step.next != Next::Read {
                return (events, step.next);
            }
        }
    }

    #[test]
    fn positions_are_written_and_read() {
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
    fn a_reader_gets_what_it_lacks_and_then_waits() {
        use ReplyState::{Queued, Streaming};
        let texts = ["a", "b", "c"];
        assert_eq!(follow(0, Queued, &[], "0.0", None), (vec![], Next::Wait));
        let (events, next) = follow(1, Streaming, &texts, "0.0", None);
        assert_eq!((events, next), (vec!["1.1 a".into(), "1.2 b".into(), "1.3 c".into()], Next::Wait));
        assert_eq!(follow(1, Streaming, &texts, "1.2", None), (vec!["1.3 c".into()], Next::Wait));
        assert_eq!(follow(1, Streaming, &texts, "1.3", None), (vec![], Next::Wait));
    }

    #[test]
    fn who_lags_reads_page_by_page() {
        let texts: Vec<String> = (1..=100).map(|n| format!("t{n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for start in [0, 1, 31, 32, 33, 99, 100] {
            let (events, next) = follow(1, ReplyState::Completed, &texts, &format!("1.{start}"), Some("unused"));
            let expected: Vec<String> = (start + 1..=100).map(|n| format!("1.{n} t{n}")).collect();
            assert_eq!(events, [expected, vec!["1.end completed".into()]].concat(), "from {start}");
            assert_eq!(next, Next::Over);
        }
    }

    #[test]
    fn a_new_attempt_makes_readers_drop_what_they_have() {
        let texts = ["x", "y"];
        let (events, _) = follow(2, ReplyState::Streaming, &texts, "1.5", None);
        assert_eq!(events, ["2.0 restarted", "2.1 x", "2.2 y"]);
        // Nothing to drop.
        for has in ["1.0", "0.0"] {
            assert_eq!(follow(2, ReplyState::Streaming, &texts, has, None).0, ["2.1 x", "2.2 y"]);
        }
        // Retried after the reader had seen it fail: dropped at once, before anything is written.
        assert_eq!(follow(2, ReplyState::Queued, &[], "1.end", None), (vec!["2.0 restarted".into()], Next::Wait));
    }

    #[test]
    fn a_position_that_is_none_starts_anew() {
        let texts = ["x", "y"];
        for has in ["1.3", "1.end", "7.1"] {
            let (events, _) = follow(1, ReplyState::Streaming, &texts, has, None);
            assert_eq!(events, ["1.0 restarted", "1.1 x", "1.2 y"], "{has}");
        }
    }

    #[test]
    fn the_end_is_told_once() {
        let texts = ["x"];
        let end = |state, has| follow(3, state, &texts, has, Some("x"));
        assert_eq!(end(ReplyState::Completed, "3.1"), (vec!["3.end completed".into()], Next::Over));
        assert_eq!(end(ReplyState::Failed, "3.1"), (vec!["3.end failed why".into()], Next::Over));
        assert_eq!(end(ReplyState::Cancelled, "3.1"), (vec!["3.end cancelled why".into()], Next::Over));
        for state in [ReplyState::Completed, ReplyState::Failed, ReplyState::Cancelled] {
            assert_eq!(end(state, "3.end"), (vec![], Next::Over));
        }
    }

    #[test]
    fn who_comes_after_the_pieces_were_removed_gets_the_whole_text() {
        let end = |has| follow(1, ReplyState::Completed, &[], has, Some("whole")).0;
        assert_eq!(end("0.0"), ["1.1 whole", "1.end completed"]);
        for has in ["1.1", "1.5"] {
            assert_eq!(end(has), ["1.0 restarted", "1.1 whole", "1.end completed"]);
        }
        assert_eq!(end("1.end"), Vec::<String>::new());
        // Cleared: there is nothing left to show.
        let cleared = |has| follow(1, ReplyState::Cancelled, &[], has, None).0;
        assert_eq!(cleared("1.5"), ["1.0 restarted", "1.end cancelled why"]);
        assert_eq!(cleared("0.0"), ["1.end cancelled why"]);
    }
}
