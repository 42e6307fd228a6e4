//! The system instructions of the tools. Each tool has numbered versions, which are never edited; one of them is active.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tool;
use crate::Result;
use crate::activity::{Action, Verb};
use crate::clock::new_id;
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// The content of a new version.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The text that the model is given: 1 to 50,000 characters.
    pub content: String,
    /// The name of the model, at most 200 characters; `None` for the configured default.
    pub model: Option<String>,
    /// From 0 to 2; `None` for the model's own default.
    pub temperature: Option<f64>,
    /// The longest answer in tokens, from 16 to 32,000.
    pub max_tokens: i32,
    /// Whether the model is told the learner's first name and position in the roadmap.
    pub include_learner: bool,
}

/// A version of a tool's instruction.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Identifies the version among all tools.
    pub id: Uuid,
    /// The tool that is instructed.
    pub tool: Tool,
    /// Counts from 1 for each tool.
    pub version: i32,
    /// As in [`Draft`].
    pub content: String,
    /// As in [`Draft`].
    pub model: Option<String>,
    /// As in [`Draft`].
    pub temperature: Option<f64>,
    /// As in [`Draft`].
    pub max_tokens: i32,
    /// As in [`Draft`].
    pub include_learner: bool,
    /// Whether new questions are answered under this version.
    pub is_active: bool,
    /// The admin who created it; `None` if it came with the platform or the admin's account no longer exists.
    pub created_by: Option<Uuid>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Selects instructions from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_instructions {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Instruction,
            $with
                + r#" SELECT id AS "id!", tool_type AS "tool!: Tool", version AS "version!", content AS "content!", model,
                       temperature, max_tokens AS "max_tokens!", include_learner AS "include_learner!",
                       is_active AS "is_active!", created_by, created_at AS "created_at!"
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

/// The active instruction of every tool.
pub async fn list_active(connection: &mut PgConnection) -> Result<Vec<Instruction>> {
    let active = select_instructions!("", "ai_system_instructions WHERE is_active ORDER BY tool_type");
    Ok(active.fetch_all(connection).await?)
}

/// At most `limit` versions of a tool's instruction, newest first, starting below the version `before`.
pub async fn list(
    connection: &mut PgConnection,
    tool: Tool,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<Instruction>> {
    let versions = select_instructions!(
        "",
        "ai_system_instructions WHERE tool_type = $1 AND version < coalesce($2, 2147483647)
         ORDER BY version DESC LIMIT $3",
        tool.name(),
        before,
        limit
    );
    Ok(versions.fetch_all(connection).await?)
}

/// One version of a tool's instruction.
pub async fn find(connection: &mut PgConnection, tool: Tool, version: i32) -> Result<Instruction, Rejected<NotFound>> {
    let instruction =
        select_instructions!("", "ai_system_instructions WHERE tool_type = $1 AND version = $2", tool.name(), version);
    instruction.fetch_optional(connection).await?.or_not_found(Noun::Instruction)
}

/// Creates the next version of a tool's instruction. It is not active yet.
pub async fn create(tx: &mut UserTx, tool: Tool, draft: &Draft) -> Result<Instruction> {
    lock(tx, tool).await?;
    let created = select_instructions!(
        "WITH created AS (
             INSERT INTO ai_system_instructions
                 (id, tool_type, version, content, model, temperature, max_tokens, include_learner, created_by)
             SELECT $1, $2::varchar, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8
             FROM ai_system_instructions WHERE tool_type = $2::varchar
             RETURNING *
         )",
        "created",
        new_id(),
        tool.name(),
        draft.content,
        draft.model,
        draft.temperature,
        draft.max_tokens,
        draft.include_learner,
        tx.caller().user_id
    );
    let created = created.fetch_one(&mut ***tx).await?;
    let details = serde_json::json!({ "tool_type": tool.name(), "version": created.version });
    tx.record(Action::new(Noun::Instruction, Verb::Created).on(created.id, &created.title()).with(details))?;
    Ok(created)
}

/// Activates a version. Questions that were asked earlier are still answered under the version that was active then.
pub async fn activate(tx: &mut UserTx, tool: Tool, version: i32) -> Result<Instruction, Rejected<NotFound>> {
    lock(tx, tool).await?;
    let mut chosen = find(tx, tool, version).await?;
    if chosen.is_active {
        return Ok(chosen);
    }
    // The old version is deactivated first, because a unique index allows only one active version for each tool.
    let before = sqlx::query_scalar!(
        "UPDATE ai_system_instructions SET is_active = false WHERE tool_type = $1 AND is_active RETURNING version",
        tool.name()
    );
    let before = before.fetch_optional(&mut ***tx).await?;
    sqlx::query!("UPDATE ai_system_instructions SET is_active = true WHERE id = $1", chosen.id)
        .execute(&mut ***tx)
        .await?;
    chosen.is_active = true;
    let details = serde_json::json!({ "tool_type": tool.name(), "before": before, "after": version });
    tx.record(Action::new(Noun::Instruction, Verb::Activated).on(chosen.id, &chosen.title()).with(details))?;
    Ok(chosen)
}

/// Makes admins who change the same tool's instructions wait for each other. Questions do not wait.
async fn lock(connection: &mut PgConnection, tool: Tool) -> Result<()> {
    sqlx::query!(
        "SELECT FROM ai_system_instructions WHERE tool_type = $1 ORDER BY version LIMIT 1 FOR NO KEY UPDATE",
        tool.name()
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Instruction {
    /// The title in the activity log.
    pub(super) fn title(&self) -> String {
        format!("{}, version {}", self.tool.title(), self.version)
    }
}
