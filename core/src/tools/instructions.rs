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
    /// Whether learners are shown what the model thinks while it answers.
    pub show_thinking: bool,
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
    /// As in [`Draft`].
    pub show_thinking: bool,
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
                       temperature, max_tokens AS "max_tokens!", include_learner AS "include_learner!", show_thinking AS "show_thinking!",
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
                 (id, tool_type, version, content, model, temperature, max_tokens, include_learner, created_by, show_thinking)
             SELECT $1, $2::varchar, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8, $9
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
        tx.caller().user_id,
        draft.show_thinking
    );
    let created = created.fetch_one(&mut ***tx).await?;
    let details = serde_json::json!({ "tool_type": tool.name(), "version": created.version });
    tx.record(Action::new(Noun::Instruction, Verb::Created).on(created.id, &created.title()).with(details))?;
    Ok(created)
}

/// Why a version is not activated.
#[derive(Clone, Debug, PartialEq)]
pub enum ActivationRefusal {
    /// There is no such version.
    NotFound(NotFound),
    /// The version answers fewer questions of an attached evaluation well than the active one.
    Fallen {
        /// The evaluation.
        evaluation_id: Uuid,
        /// Its name.
        name: String,
        /// How many questions the version answers well.
        passed: i32,
        /// How many the active one answers well.
        baseline_passed: i32,
    },
    /// The version was not compared with the active one in an attached evaluation, as its questions are now.
    NotEvaluated {
        /// The evaluation.
        evaluation_id: Uuid,
        /// Its name.
        name: String,
    },
    /// The version that is to be rolled back is not active, or none was active before it.
    NotRollable,
}

impl From<NotFound> for ActivationRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// Activates a version, unless it does worse than the active one in an attached evaluation, or nobody knows. Questions that were
/// asked earlier are still answered under the version that was active then.
pub async fn activate(tx: &mut UserTx, tool: Tool, version: i32) -> Result<Instruction, Rejected<ActivationRefusal>> {
    lock(tx, tool).await?;
    let chosen = find(tx, tool, version).await.map_err(Rejected::widen)?;
    if chosen.is_active {
        return Ok(chosen);
    }
    check_evaluations(tx, &chosen).await?;
    replace_active(tx, chosen, Verb::Activated).await
}

/// Activates the version that was active before `version`, which must be the active one. It was good enough once, so no evaluation
/// is asked. Repeated, it goes back further.
pub async fn roll_back(tx: &mut UserTx, tool: Tool, version: i32) -> Result<Instruction, Rejected<ActivationRefusal>> {
    lock(tx, tool).await?;
    if !find(tx, tool, version).await.map_err(Rejected::widen)?.is_active {
        return Err(Rejected::Refused(ActivationRefusal::NotRollable));
    }
    sqlx::query!(
        "UPDATE ai_system_instructions SET activated_at = NULL WHERE tool_type = $1 AND version = $2",
        tool.name(),
        version
    )
    .execute(&mut ***tx)
    .await?;
    let earlier = select_instructions!(
        "",
        "ai_system_instructions WHERE tool_type = $1 AND NOT is_active AND activated_at IS NOT NULL
         ORDER BY activated_at DESC, version DESC LIMIT 1",
        tool.name()
    );
    let earlier = earlier.fetch_optional(&mut ***tx).await?.or_refuse(ActivationRefusal::NotRollable)?;
    replace_active(tx, earlier, Verb::Restored).await
}

/// Refuses a version that has not passed every evaluation that is attached to its tool.
async fn check_evaluations(
    connection: &mut PgConnection,
    chosen: &Instruction,
) -> Result<(), Rejected<ActivationRefusal>> {
    let failed = sqlx::query!(
        r#"SELECT e.id, e.name, r.candidate_passed AS "candidate_passed?", r.baseline_passed AS "baseline_passed?"
           FROM ai_evaluations e
           LEFT JOIN LATERAL (
               SELECT r.candidate_passed, r.baseline_passed
               FROM ai_evaluation_runs r JOIN ai_system_instructions b ON b.id = r.baseline_id AND b.is_active
               WHERE r.evaluation_id = e.id AND r.candidate_id = $2 AND r.state = 'completed' AND r.cases = e.cases
               ORDER BY r.id DESC LIMIT 1
           ) r ON true
           WHERE e.tool_type = $1 AND e.is_attached AND e.deleted_at IS NULL
             AND (r.candidate_passed IS NULL OR r.candidate_passed < r.baseline_passed)
           ORDER BY e.id LIMIT 1"#,
        chosen.tool.name(),
        chosen.id
    );
    let Some(failed) = failed.fetch_optional(connection).await? else { return Ok(()) };
    let (evaluation_id, name) = (failed.id, failed.name);
    Err(Rejected::Refused(match failed.candidate_passed.zip(failed.baseline_passed) {
        Some((passed, baseline_passed)) => ActivationRefusal::Fallen { evaluation_id, name, passed, baseline_passed },
        None => ActivationRefusal::NotEvaluated { evaluation_id, name },
    }))
}

async fn replace_active(
    tx: &mut UserTx,
    mut chosen: Instruction,
    verb: Verb,
) -> Result<Instruction, Rejected<ActivationRefusal>> {
    let (tool, version) = (chosen.tool, chosen.version);
    // The old version is deactivated first, because a unique index allows only one active version for each tool.
    let before = sqlx::query_scalar!(
        "UPDATE ai_system_instructions SET is_active = false WHERE tool_type = $1 AND is_active RETURNING version",
        tool.name()
    );
    let before = before.fetch_optional(&mut ***tx).await?;
    sqlx::query!(
        "UPDATE ai_system_instructions SET is_active = true, activated_at = clock_timestamp() WHERE id = $1",
        chosen.id
    )
    .execute(&mut ***tx)
    .await?;
    chosen.is_active = true;
    let details = serde_json::json!({ "tool_type": tool.name(), "before": before, "after": version });
    tx.record(Action::new(Noun::Instruction, verb).on(chosen.id, &chosen.title()).with(details))?;
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
