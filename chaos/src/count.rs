//! Compares the result of a run with what was accepted.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use cairn_core::admin::verify::{Mode, verify};
use sqlx::PgPool;
use uuid::Uuid;

use crate::fault::Fault;
use crate::learner::Expected;

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often each fault was injected.
    pub faults: BTreeMap<Fault, usize>,
    /// Actions the API accepted.
    pub accepted: i64,
    /// Accepted actions without an effect.
    pub lost: i64,
    /// Effects in excess of one for each accepted action.
    pub duplicated: i64,
    /// Runs in excess of one for each job. Crashes cause some, orderly stops must not.
    pub repeated_runs: i64,
    /// Everything else that is wrong: a lesson in an unexpected state, a reply that is not completed, a wrong derived value.
    pub wrong: Vec<String>,
    /// For each fault, the time until everything accepted before it had its effect, shortest first.
    pub recoveries: Vec<Duration>,
    /// The time from the end of the load until all work was done.
    pub settled_after: Duration,
}

impl Report {
    /// Whether nothing was lost, duplicated or wrong.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.wrong.is_empty()
    }

    /// How many processes were killed.
    pub fn kills(&self) -> usize {
        self.faults.iter().filter(|(fault, _)| fault.is_kill()).map(|(_, times)| times).sum()
    }

    /// How often a fault was injected.
    pub fn times(&self, fault: Fault) -> usize {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// The longest recovery.
    pub fn slowest_recovery(&self) -> Duration {
        self.recoveries.last().copied().unwrap_or_default()
    }
}

/// Formats the report as a table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, value: String| writeln!(f, "  {what:<34} {value:>12}");
        for (fault, times) in &self.faults {
            row(&fault.name(), times.to_string())?;
        }
        row("processes killed", self.kills().to_string())?;
        row("actions accepted", self.accepted.to_string())?;
        row("lost", self.lost.to_string())?;
        row("duplicated", self.duplicated.to_string())?;
        row("runs repeated", self.repeated_runs.to_string())?;
        row("wrong", self.wrong.len().to_string())?;
        let median = self.recoveries.get(self.recoveries.len() / 2).copied().unwrap_or_default();
        row("recovery p50", seconds(median))?;
        row("recovery max", seconds(self.slowest_recovery()))?;
        row("settled after", seconds(self.settled_after))?;
        for what in self.wrong.iter().take(20) {
            f.write_char('\n')?;
            f.write_str(what)?;
        }
        Ok(())
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Compares what was accepted with what is stored, once all work is done.
pub(crate) async fn count(pool: &PgPool, expected: &[Expected], report: &mut Report) -> anyhow::Result<()> {
    for learner in expected {
        count_events(pool, learner, report).await?;
        let completed: Vec<Uuid> = sqlx::query_scalar(
            "SELECT lesson_id FROM user_lesson_progress WHERE user_id = $1 AND status = 'completed' ORDER BY lesson_id",
        )
        .bind(learner.user_id)
        .fetch_all(pool)
        .await?;
        if completed != learner.completed {
            report
                .wrong
                .push(format!("{}: completed {completed:?}, expected {:?}", learner.user_id, learner.completed));
        }
    }
    report.repeated_runs =
        sqlx::query_scalar("SELECT coalesce(sum(attempts - 1), 0) FROM apalis.jobs WHERE attempts > 1")
            .fetch_one(pool)
            .await?;
    let unanswered: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM ai_replies r WHERE r.state <> 'completed' OR 1 <> (
             SELECT count(*) FROM tool_messages m WHERE m.id = r.answer_id AND m.role = 'assistant')",
    )
    .fetch_one(pool)
    .await?;
    if unanswered > 0 {
        report.wrong.push(format!("{unanswered} replies are not completed with exactly one message"));
    }
    let verified = verify(pool, Mode::Strict).await?;
    if !verified.is_clean() {
        report.wrong.push(format!("verify: {verified:#?}"));
    }
    Ok(())
}

/// Counts the rows of the activity log, of which there must be one for each accepted action.
async fn count_events(pool: &PgPool, learner: &Expected, report: &mut Report) -> anyhow::Result<()> {
    let logged: Vec<(String, i64)> =
        sqlx::query_as("SELECT action, count(*) FROM activity_log WHERE actor_id = $1 GROUP BY action")
            .bind(learner.user_id)
            .fetch_all(pool)
            .await?;
    let logged: BTreeMap<&str, i64> = logged.iter().map(|(action, times)| (action.as_str(), *times)).collect();
    for (&action, &accepted) in &learner.events {
        let found = logged.get(action).copied().unwrap_or_default();
        report.accepted += accepted;
        report.lost += (accepted - found).max(0);
        report.duplicated += (found - accepted).max(0);
    }
    Ok(())
}
