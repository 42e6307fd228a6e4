//! What a model receives besides the question, recorded when the question is asked.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::sources::{self, Source};
use crate::Result;

/// What was known when a question was asked. It is stored with the reply, so that later edits do not affect the answer or
/// further attempts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// The platform's content on the question, the best match first.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Whether a worker has looked for sources by the meaning of the question as well, or has tried to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_meaning: bool,
    /// The learner, if the instruction asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learner: Option<Learner>,
}

/// The learner who asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    /// First name.
    pub first_name: String,
    /// Their position; `None` if they have not started a roadmap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// A learner's position: the roadmap in which they were last active, preferring unfinished ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The title of the roadmap.
    pub roadmap: String,
    /// The completed part in percent; `None` if the roadmap has no lessons.
    pub percent: Option<i16>,
    /// The title of the first stage that is not completed; `None` if all are completed.
    pub stage: Option<String>,
}

/// Gathers the context of a user's question.
pub(super) async fn gather(
    connection: &mut PgConnection,
    user_id: Uuid,
    question: &str,
    include_learner: bool,
) -> Result<Context> {
    let sources = sources::find(&mut *connection, user_id, question, &[]).await?;
    let learner = if include_learner { learner(connection, user_id).await? } else { None };
    Ok(Context { sources, learner, by_meaning: false })
}

async fn learner(connection: &mut PgConnection, user_id: Uuid) -> Result<Option<Learner>> {
    let row = sqlx::query!(
        r#"SELECT u.first_name, p.roadmap AS "roadmap?", p.percent AS "percent?", p.stage AS "stage?"
           FROM users u
           LEFT JOIN LATERAL (
               SELECT r.title AS roadmap, p.percent,
                   (SELECT s.title FROM visible_stages s
                    JOIN user_stage_progress sp ON sp.stage_id = s.id AND sp.user_id = u.id
                    WHERE s.roadmap_id = r.id AND sp.lessons_total > 0 AND sp.status <> 'completed'
                    ORDER BY s.position, s.id LIMIT 1) AS stage
               FROM user_roadmap_progress p JOIN visible_roadmaps r ON r.id = p.roadmap_id
               WHERE p.user_id = u.id
               ORDER BY p.status = 'completed', p.updated_at DESC, r.id LIMIT 1
           ) p ON true
           WHERE u.id = $1"#,
        user_id
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    let (percent, stage) = (row.percent, row.stage);
    let position = row.roadmap.map(|roadmap| Position { roadmap, percent, stage });
    Ok(Some(Learner { first_name: row.first_name, position }))
}
