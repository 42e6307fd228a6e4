//! What a model is told beside the question, fixed when the question is asked.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::actor::Caller;
use crate::library::search::{self, HitKind};

/// So much of the platform's content is given at most.
const MAX_SOURCES: i64 = 5;

/// What was known when a question was asked. Stored with the reply, so that what is edited later changes no answer and
/// no attempt at it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// What the platform has on the question, the best first.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Who asks, if the instruction wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learner: Option<Learner>,
}

/// A piece of the platform's content that an answer can point to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What it is.
    pub kind: HitKind,
    /// Its id.
    pub id: Uuid,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub about: String,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    /// First name.
    pub first_name: String,
    /// Where they are; none = nothing started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Where a learner is: in the roadmap of which they did something last, unfinished ones first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Title of the roadmap.
    pub roadmap: String,
    /// Whole percent of it; none = there is nothing to do.
    pub percent: Option<i16>,
    /// Title of the first stage that is not completed; none = all are.
    pub stage: Option<String>,
}

/// Gathers what to tell about a question.
pub(super) async fn gather(
    connection: &mut PgConnection,
    caller: &Caller,
    question: &str,
    include_learner: bool,
) -> Result<Context> {
    let hits = search::search(&mut *connection, question, MAX_SOURCES).await?;
    let sources =
        hits.into_iter().map(|hit| Source { kind: hit.kind, id: hit.id, title: hit.title, about: hit.snippet });
    let sources = sources.collect();
    let learner = if include_learner { learner(connection, caller).await? } else { None };
    Ok(Context { sources, learner })
}

async fn learner(connection: &mut PgConnection, caller: &Caller) -> Result<Option<Learner>> {
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
        caller.user_id
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    let (percent, stage) = (row.percent, row.stage);
    let position = row.roadmap.map(|roadmap| Position { roadmap, percent, stage });
    Ok(Some(Learner { first_name: row.first_name, position }))
}
