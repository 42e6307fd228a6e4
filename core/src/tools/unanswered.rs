//! Questions for which the platform has no content, grouped by what was looked for.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tool;
use crate::Result;

/// Questions for which nothing was found, all of which looked for the same words.
#[derive(Clone, Debug, PartialEq)]
pub struct Unanswered {
    /// Identifies the words.
    pub id: Uuid,
    /// The stems of the words, in the order of the alphabet; empty if the questions have none that tell anything.
    pub words: String,
    /// How often it was asked.
    pub questions: i64,
    /// How many learners asked.
    pub learners: i64,
    /// The beginning of the latest of the questions.
    pub example: String,
    /// When that was asked.
    pub last_asked_at: DateTime<Utc>,
}

/// Notes that nothing was found for a question.
pub(super) async fn note(connection: &mut PgConnection, tool: Tool, reply_id: Uuid, text: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO ai_unanswered_questions (reply_id, tool_type, words)
         SELECT $1, $2, left(coalesce(string_agg(w.lexeme, ' ' ORDER BY w.lexeme COLLATE \"C\"), ''), 500)
         FROM unnest(to_tsvector('russian', folded(left($3, 1000)))) w
         ON CONFLICT (reply_id) DO NOTHING",
        reply_id,
        tool.name(),
        text
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes the note of a question that is asked again.
pub(super) async fn remove(connection: &mut PgConnection, reply_id: Uuid) -> Result<()> {
    sqlx::query!("DELETE FROM ai_unanswered_questions WHERE reply_id = $1", reply_id).execute(connection).await?;
    Ok(())
}

/// Removes the notes of a chat that is cleared, because they contain words of its questions.
pub(super) async fn forget(connection: &mut PgConnection, chat_id: Uuid) -> Result<()> {
    sqlx::query!(
        "DELETE FROM ai_unanswered_questions n USING ai_replies r WHERE r.chat_id = $1 AND n.reply_id = r.id",
        chat_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// At most `limit` groups of the last `days` days, the most frequent first, starting after the group with the number and the id
/// of `after`.
pub async fn list(
    connection: &mut PgConnection,
    tool: Option<Tool>,
    days: i32,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Unanswered>> {
    let (number, id) = after.unzip();
    let groups = sqlx::query_as!(
        Unanswered,
        r#"SELECT g.id AS "id!", g.words AS "words!", g.questions AS "questions!", g.learners AS "learners!", left(r.question, 300) AS "example!",
               g.last_asked_at AS "last_asked_at!"
           FROM (
               SELECT md5(n.words)::uuid AS id, n.words, count(*) AS questions, count(DISTINCT r.user_id) AS learners,
                   max(n.asked_at) AS last_asked_at, (array_agg(n.reply_id ORDER BY n.asked_at DESC, n.reply_id DESC))[1] AS reply_id
               FROM ai_unanswered_questions n JOIN ai_replies r ON r.id = n.reply_id
               WHERE n.asked_at > now() - make_interval(days => $1) AND n.tool_type = coalesce($2, n.tool_type)
               GROUP BY 1, 2
           ) g
           JOIN ai_replies r ON r.id = g.reply_id
           WHERE $3::bigint IS NULL OR g.questions < $3 OR (g.questions = $3 AND g.id > $4)
           ORDER BY g.questions DESC, g.id LIMIT $5"#,
        days,
        tool.map(Tool::name),
        number,
        id,
        limit
    );
    Ok(groups.fetch_all(connection).await?)
}
