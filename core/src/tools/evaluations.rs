//! Evaluations: stored questions to a tool, with what a good answer contains.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Tool;
use crate::Result;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{Refusal, Resource};

/// A question, and what a good answer contains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The question.
    pub question: String,
    /// What the answer must contain, whatever the case of its letters.
    pub contains: Vec<String>,
    /// What the answer must not contain.
    pub excludes: Vec<String>,
}

impl Case {
    /// Whether an answer is good.
    pub fn is_passed_by(&self, answer: &str) -> bool {
        let answer = answer.to_lowercase();
        let has = |text: &String| answer.contains(&text.to_lowercase());
        !answer.trim().is_empty() && self.contains.iter().all(has) && !self.excludes.iter().any(has)
    }
}

/// The cases of an evaluation, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Cases(Vec<Case>);

impl Deref for Cases {
    type Target = [Case];
    fn deref(&self) -> &[Case] {
        &self.0
    }
}

impl From<Json<Vec<Case>>> for Cases {
    fn from(stored: Json<Vec<Case>>) -> Self {
        Self(stored.0)
    }
}

impl FromIterator<Case> for Cases {
    fn from_iter<I: IntoIterator<Item = Case>>(cases: I) -> Self {
        Self(cases.into_iter().collect())
    }
}

impl IntoIterator for Cases {
    type Item = Case;
    type IntoIter = std::vec::IntoIter<Case>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// An evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table ai_evaluations, which documents them")]
pub struct Evaluation {
    pub id: Uuid,
    pub tool_type: Tool,
    pub name: String,
    pub is_attached: bool,
    pub cases: Cases,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Selects evaluations from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_evaluations {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Evaluation,
            $with
                + r#" SELECT id AS "id!", tool_type AS "tool_type!: Tool", name AS "name!", is_attached AS "is_attached!",
                       cases AS "cases!: Json<Vec<Case>>", version AS "version!", created_at AS "created_at!",
                       updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Evaluation {
    const NOUN: Noun = Noun::Evaluation;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let evaluation = select_evaluations!("", "ai_evaluations WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(evaluation.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        // Almost any answer would pass, and keep nobody from activating anything.
        let idle = self.cases.iter().position(|case| case.contains.is_empty() && case.excludes.is_empty());
        if let Some(n) = idle.filter(|_| self.is_attached && self.deleted_at.is_none()) {
            return Err(Rejected::Refused(Refusal::Invalid {
                pointer: format!("/cases/{n}").into(),
                message: "Every question of an attached evaluation must say what its answer contains or excludes."
                    .into(),
            }));
        }
        let saved = select_evaluations!(
            "WITH saved AS (
                 INSERT INTO ai_evaluations (id, tool_type, name, is_attached, cases, deleted_at)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (id) DO UPDATE SET tool_type = excluded.tool_type, name = excluded.name,
                     is_attached = excluded.is_attached, cases = excluded.cases, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.tool_type.name(),
            self.name,
            self.is_attached,
            Json(&self.cases) as _,
            self.deleted_at,
        );
        saved.fetch_one(connection).await.on_constraint("ai_evaluations_name_key", Refusal::Taken { member: "name" })
    }
}

/// At most `limit` evaluations without their cases, the oldest first, starting after the id `after`: of one tool or of all, and either
/// the deleted ones or those that are not.
pub async fn list(
    connection: &mut PgConnection,
    tool: Option<Tool>,
    deleted: bool,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Evaluation>> {
    let evaluations = select_evaluations!(
        "",
        "(SELECT id, tool_type, name, is_attached, '[]'::jsonb AS cases, version, created_at, updated_at, deleted_at
          FROM ai_evaluations) e
         WHERE (deleted_at IS NOT NULL) = $1 AND tool_type = coalesce($2, tool_type)
           AND id > coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid)
         ORDER BY id LIMIT $4",
        deleted,
        tool.map(Tool::name),
        after,
        limit
    );
    Ok(evaluations.fetch_all(connection).await?)
}

/// Finds an evaluation, deleted or not.
pub async fn find_any(connection: &mut PgConnection, id: Uuid) -> Result<Evaluation, Rejected<NotFound>> {
    let evaluation = select_evaluations!("", "ai_evaluations WHERE id = $1", id);
    evaluation.fetch_optional(connection).await?.or_not_found(Noun::Evaluation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_passes_with_everything_that_is_asked_for_and_nothing_that_is_not() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let case = Case { question: "?".into(), contains: texts(&["Flexbox", "ось"]), excludes: texts(&["float"]) };
        for (answer, passes) in [
            ("Use flexbox: главная ОСЬ.", true),
            ("Use flexbox.", false),
            ("Flexbox, ось, or float", false),
            ("", false),
        ] {
            assert_eq!(case.is_passed_by(answer), passes, "{answer}");
        }
        assert!(!Case::default().is_passed_by(" "), "an empty answer is never good");
        assert!(Case::default().is_passed_by("Anything"));
    }
}
