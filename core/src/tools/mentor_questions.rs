//! Replies that learners put before the mentors.
//!
//! ```text
//! ask ──► waiting ──a mentor answers, once──► answered: a message of the learner's chat
//!            └── withdrawn: by the learner, with the chat, or with the account
//! ```
//!
//! A mentor sees the question and the answer of the reply, and nothing else of the chat.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ratings::{AnswerRefusal, lock_answered};
use super::{Tool, has_copyable_content};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::actor::Caller;
use crate::clock::new_id;
use crate::db::UserTx;
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A question to the mentors, as the learner sees it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Identifies the question.
    pub id: Uuid,
    /// The reply that it is about.
    pub reply_id: Uuid,
    /// Whether this call has put it before the mentors, as opposed to an earlier one.
    pub is_new: bool,
    /// When it was asked.
    pub asked_at: DateTime<Utc>,
    /// When a mentor answered; `None` until then.
    pub answered_at: Option<DateTime<Utc>>,
    /// The message of the chat with the mentor's answer; `None` until then.
    pub answer_id: Option<Uuid>,
}

/// A question to the mentors, as they see it.
#[derive(Clone, Debug)]
pub struct Question {
    /// Identifies the question.
    pub id: Uuid,
    /// The tool that was asked.
    pub tool: Tool,
    /// The learner.
    pub student_id: Uuid,
    /// The learner's first name.
    pub first_name: String,
    /// The learner's last name; `None` if they gave none.
    pub last_name: Option<String>,
    /// What the learner asked the tool.
    pub question: String,
    /// What the tool answered.
    pub reply: String,
    /// What a mentor answered; `None` until then.
    pub answer: Option<String>,
    /// The mentor who answered; `None` until then.
    pub answered_by: Option<Uuid>,
    /// When the learner put it before the mentors.
    pub asked_at: DateTime<Utc>,
    /// When a mentor answered; `None` until then.
    pub answered_at: Option<DateTime<Utc>>,
}

/// Why a mentor's answer is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MentorRefusal {
    /// There is no such question, or it was withdrawn.
    NotFound(NotFound),
    /// A mentor has answered it.
    Answered,
}

impl From<NotFound> for MentorRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// Puts a reply of the caller before the mentors, once. Asking again changes nothing.
pub async fn ask(tx: &mut UserTx, reply_id: Uuid) -> Result<Asked, Rejected<AnswerRefusal>> {
    let answered = lock_answered(tx, reply_id).await?;
    let id = new_id();
    let inserted = sqlx::query!(
        "INSERT INTO mentor_questions (id, reply_id, user_id, created_at) VALUES ($1, $2, $3, clock_timestamp())
         ON CONFLICT (reply_id) DO NOTHING",
        id,
        reply_id,
        tx.caller().user_id
    );
    let is_new = inserted.execute(&mut ***tx).await?.rows_affected() > 0;
    if is_new {
        let target = Target::new(Noun::ToolChat, answered.chat_id, answered.tool.title());
        let details = serde_json::json!({ "tool_type": answered.tool.name(), "reply_id": reply_id, "question_id": id });
        tx.record(Action::new(Noun::MentorQuestion, Verb::Asked).target(Some(target)).with(details))?;
    }
    let asked = sqlx::query_as!(
        Asked,
        r#"SELECT id, reply_id, $2::boolean AS "is_new!", created_at AS asked_at, answered_at, message_id AS answer_id
           FROM mentor_questions WHERE reply_id = $1"#,
        reply_id,
        is_new
    );
    Ok(asked.fetch_one(&mut ***tx).await?)
}

/// Withdraws a reply of the caller from the mentors. A question that was answered cannot be withdrawn, because its answer is a
/// message of the chat. Without a question, nothing changes.
pub async fn withdraw(tx: &mut UserTx, reply_id: Uuid) -> Result<(), Rejected<MentorRefusal>> {
    let reply = sqlx::query!(
        r#"SELECT c.id AS chat_id, c.tool_type AS "tool: Tool" FROM tool_chats c
           WHERE c.id = (SELECT chat_id FROM ai_replies WHERE id = $1 AND user_id = $2) FOR NO KEY UPDATE"#,
        reply_id,
        tx.caller().user_id
    );
    let reply = reply.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Reply)?;
    let question = sqlx::query!("SELECT id, answered_at FROM mentor_questions WHERE reply_id = $1", reply_id);
    let Some(question) = question.fetch_optional(&mut ***tx).await? else { return Ok(()) };
    if question.answered_at.is_some() {
        return Err(Rejected::Refused(MentorRefusal::Answered));
    }
    sqlx::query!("DELETE FROM mentor_questions WHERE id = $1", question.id).execute(&mut ***tx).await?;
    let target = Target::new(Noun::ToolChat, reply.chat_id, reply.tool.title());
    let details =
        serde_json::json!({ "tool_type": reply.tool.name(), "reply_id": reply_id, "question_id": question.id });
    tx.record(Action::new(Noun::MentorQuestion, Verb::Withdrawn).target(Some(target)).with(details))?;
    Ok(())
}

/// Withdraws all questions of a chat that is cleared.
pub(super) async fn withdraw_all(connection: &mut PgConnection, chat_id: Uuid) -> Result<()> {
    sqlx::query!(
        "DELETE FROM mentor_questions q USING ai_replies r WHERE r.chat_id = $1 AND q.reply_id = r.id",
        chat_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Selects questions from `$from`, which provides the rows `q` of `mentor_questions`. Those of accounts that are deleted, and
/// those whose texts are gone, are left out. Texts are cut after `$chars` characters.
macro_rules! select_questions {
    ($chars:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Question,
            r#"SELECT q.id AS "id!", c.tool_type AS "tool!: Tool", u.id AS "student_id!", u.first_name AS "first_name!", u.last_name,
                   left(r.question, "# + $chars + r#") AS "question!", left(m.content, "# + $chars + r#") AS "reply!",
                   left(a.content, "# + $chars + r#") AS "answer?", q.answered_by, q.created_at AS "asked_at!", q.answered_at
               FROM "# + $from + r#"
               JOIN ai_replies r ON r.id = q.reply_id
               JOIN tool_chats c ON c.id = r.chat_id
               JOIN users u ON u.id = q.user_id AND u.deleted_at IS NULL
               JOIN tool_messages m ON m.id = r.answer_id
               LEFT JOIN tool_messages a ON a.id = q.message_id
               ORDER BY q.place"#,
            $($argument),*
        )
    };
}

/// At most `limit` questions that wait for an answer, the one that waits longest first, starting after the time and id of
/// `after`. The texts are cut after 200 characters.
pub async fn list_waiting(
    connection: &mut PgConnection,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Question>> {
    let (time, id) = after.unzip();
    let questions = select_questions!(
        "200",
        "(
           SELECT q.*, row_number() OVER (ORDER BY q.created_at, q.id) AS place FROM mentor_questions q
           JOIN users o ON o.id = q.user_id AND o.deleted_at IS NULL
           WHERE q.answered_at IS NULL
             AND (q.created_at, q.id) > (coalesce($1, '-infinity'::timestamptz),
                                         coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid))
           ORDER BY q.created_at, q.id LIMIT $3
         ) q",
        time,
        id,
        limit
    );
    Ok(questions.fetch_all(connection).await?)
}

/// At most `limit` questions that were answered, the latest answer first, in pages like those of [`list_waiting`].
pub async fn list_answered(
    connection: &mut PgConnection,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Question>> {
    let (time, id) = before.unzip();
    let questions = select_questions!(
        "200",
        "(
           SELECT q.*, row_number() OVER (ORDER BY q.answered_at DESC, q.id DESC) AS place FROM mentor_questions q
           JOIN users o ON o.id = q.user_id AND o.deleted_at IS NULL
           WHERE q.answered_at IS NOT NULL
             AND (q.answered_at, q.id) < (coalesce($1, 'infinity'::timestamptz),
                                          coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY q.answered_at DESC, q.id DESC LIMIT $3
         ) q",
        time,
        id,
        limit
    );
    Ok(questions.fetch_all(connection).await?)
}

/// One question with its whole texts.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Question, Rejected<NotFound>> {
    let question =
        select_questions!("2000000", "(SELECT q.*, 1 AS place FROM mentor_questions q WHERE q.id = $1) q", id);
    question.fetch_optional(connection).await?.or_not_found(Noun::MentorQuestion)
}

/// Answers a question, once. The answer becomes a message of the learner's chat, and the learner gets an event.
pub async fn answer(tx: &mut UserTx, id: Uuid, text: &str) -> Result<(), Rejected<MentorRefusal>> {
    let mentor: Caller = tx.caller().clone();
    let asked = sqlx::query!(
        r#"SELECT r.id AS reply_id, c.id AS chat_id, c.user_id, c.tool_type AS "tool: Tool"
           FROM mentor_questions q JOIN ai_replies r ON r.id = q.reply_id JOIN tool_chats c ON c.id = r.chat_id
           JOIN users u ON u.id = c.user_id AND u.deleted_at IS NULL
           WHERE q.id = $1"#,
        id
    );
    let asked = asked.fetch_optional(&mut ***tx).await?.or_not_found(Noun::MentorQuestion)?;
    // The chat is locked first, as everywhere, so that it is not cleared meanwhile.
    sqlx::query!("UPDATE tool_chats SET updated_at = now() WHERE id = $1", asked.chat_id).execute(&mut ***tx).await?;
    let message_id = new_id();
    sqlx::query!(
        "INSERT INTO tool_messages (id, chat_id, role, content, has_copyable_content, created_at)
         SELECT $2, $3, 'assistant', $4, $5, greatest(clock_timestamp(),
             (SELECT max(created_at) FROM tool_messages WHERE chat_id = $3) + interval '1 microsecond')
         FROM mentor_questions WHERE id = $1 AND answered_at IS NULL",
        id,
        message_id,
        asked.chat_id,
        text,
        has_copyable_content(text)
    )
    .execute(&mut ***tx)
    .await?;
    let answered = sqlx::query!(
        "UPDATE mentor_questions SET answered_at = clock_timestamp(), answered_by = $2, message_id = $3
         WHERE id = $1 AND answered_at IS NULL",
        id,
        mentor.user_id,
        message_id
    );
    if answered.execute(&mut ***tx).await?.rows_affected() == 0 {
        let is_there = sqlx::query_scalar!("SELECT id FROM mentor_questions WHERE id = $1", id);
        is_there.fetch_optional(&mut ***tx).await?.or_not_found::<MentorRefusal>(Noun::MentorQuestion)?;
        return Err(Rejected::Refused(MentorRefusal::Answered));
    }
    let target = Target::new(Noun::User, asked.user_id, "");
    let details = serde_json::json!({ "tool_type": asked.tool.name(), "reply_id": asked.reply_id, "question_id": id });
    tx.record(Action::new(Noun::MentorQuestion, Verb::Answered).target(Some(target)).with(details))?;
    let (reply_id, tool_type) = (asked.reply_id, asked.tool.name().to_owned());
    tx.emit(asked.user_id, UserEvent::MentorAnswered { reply_id, tool_type, message_id });
    Ok(())
}
