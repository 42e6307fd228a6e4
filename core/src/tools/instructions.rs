//! The system instructions of the tools: versions that are never edited, one of them active per tool.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Tool, stored_tool};
use crate::Result;
use crate::activity::{Action, Noun, Verb};
use crate::clock::new_id;
use crate::db::UserTx;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// What an instruction says.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What the model is told: 1 to 50,000 characters.
    pub content: String,
    /// The model to ask, at most 200 characters; none = the configured default.
    pub model: Option<String>,
    /// From 0 to 2; none = the model's own.
    pub temperature: Option<f64>,
    /// Longest answer, in tokens: 16 to 32,000.
    pub max_tokens: i32,
    /// Whether the model is told the learner's first name and place in the roadmap.
    pub include_learner: bool,
}

/// A version of a tool's instruction.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub tool: Tool,
    /// Counts from 1 for each tool.
    pub version: i32,
    /// What it says.
    pub draft: Draft,
    /// Whether questions are answered under it.
    pub is_active: bool,
    /// Who made it; none = it came with the platform, or they are gone.
    pub created_by: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    tool_type: String,
    version: i32,
    content: String,
    model: Option<String>,
    temperature: Option<f64>,
    max_tokens: i32,
    include_learner: bool,
    is_active: bool,
    created_by: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Instruction {
    type Error = crate::Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            tool: stored_tool(&row.tool_type)?,
            version: row.version,
            draft: Draft {
                content: row.content,
                model: row.model,
                temperature: row.temperature,
                max_tokens: row.max_tokens,
                include_learner: row.include_learner,
            },
            is_active: row.is_active,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    }
}

/// The active instruction of every tool.
pub async fn list_active(connection: &mut PgConnection) -> Result<Vec<Instruction>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, tool_type, version, content, model, temperature, max_tokens, include_learner, is_active,
             created_by, created_at
         FROM ai_system_instructions WHERE is_active ORDER BY tool_type"
    );
    rows.fetch_all(connection).await?.into_iter().map(Instruction::try_from).collect()
}

/// Versions of a tool's instruction, the newest first: at most `limit`, before version `before`.
pub async fn list(
    connection: &mut PgConnection,
    tool: Tool,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<Instruction>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, tool_type, version, content, model, temperature, max_tokens, include_learner, is_active,
             created_by, created_at
         FROM ai_system_instructions WHERE tool_type = $1 AND version < coalesce($2, 2147483647)
         ORDER BY version DESC LIMIT $3",
        tool.name(),
        before,
        limit
    );
    rows.fetch_all(connection).await?.into_iter().map(Instruction::try_from).collect()
}

/// One version.
pub async fn find(connection: &mut PgConnection, tool: Tool, version: i32) -> Result<Instruction, Rejected<NotFound>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, tool_type, version, content, model, temperature, max_tokens, include_learner, is_active,
             created_by, created_at
         FROM ai_system_instructions WHERE tool_type = $1 AND version = $2",
        tool.name(),
        version
    );
    let row = row.fetch_optional(connection).await?.or_not_found(Noun::Instruction)?;
    Ok(row.try_into()?)
}

/// Makes the next version, which is not active yet.
pub async fn create(tx: &mut UserTx, tool: Tool, draft: &Draft) -> Result<Instruction> {
    lock(tx, tool).await?;
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO ai_system_instructions
             (id, tool_type, version, content, model, temperature, max_tokens, include_learner, created_by)
         SELECT $1, $2::varchar, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8
         FROM ai_system_instructions WHERE tool_type = $2::varchar
         RETURNING id, tool_type, version, content, model, temperature, max_tokens, include_learner, is_active,
             created_by, created_at",
        new_id(),
        tool.name(),
        draft.content,
        draft.model,
        draft.temperature,
        draft.max_tokens,
        draft.include_learner,
        tx.caller().user_id
    );
    let made = Instruction::try_from(row.fetch_one(&mut ***tx).await?)?;
    let details = serde_json::json!({ "tool_type": tool.name(), "version": made.version });
    tx.record(Action::new(Noun::Instruction, Verb::Created).on(made.id, &made.title()).with(details))?;
    Ok(made)
}

/// Makes a version the active one. Questions that were asked before are answered
/// under the one that was active then.
pub async fn activate(tx: &mut UserTx, tool: Tool, version: i32) -> Result<Instruction, Rejected<NotFound>> {
    lock(tx, tool).await?;
    let mut chosen = find(tx, tool, version).await?;
    if chosen.is_active {
        return Ok(chosen);
    }
    // First the one, then the other: two are never active.
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

/// Admins who change a tool's instructions wait for each other; questions do not wait for them.
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
    /// What the activity log calls it.
    fn title(&self) -> String {
        format!("{}, version {}", self.tool.title(), self.version)
    }
}
