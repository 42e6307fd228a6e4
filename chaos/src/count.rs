//! Compares the result of a run with what was accepted.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Write as _};
use std::time::Duration;

use cairn_core::admin::verify::{Kind, Mode, verify};
use sqlx::PgPool;
use uuid::Uuid;

use crate::answers::Share;
use crate::expected::{Edits, Expected};
use crate::fault::Fault;
use crate::replies::Replies;

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often each fault was injected.
    pub faults: BTreeMap<Fault, usize>,
    /// Actions the API accepted.
    pub accepted: i64,
    /// Decisions of mentors among them.
    pub decisions: usize,
    /// Edits of content among them, as far as they changed something.
    pub edits: usize,
    /// Accepted actions without an effect.
    pub lost: i64,
    /// Effects in excess of one for each accepted action.
    pub duplicated: i64,
    /// Runs in excess of one for each job. Crashes cause some, orderly stops must not.
    pub repeated_runs: i64,
    /// Everything else that is wrong: a lesson in an unexpected state, a reply that is not completed, a wrong derived value.
    pub wrong: Vec<String>,
    /// Recorded changes of jobs, each of which is a step of the model, unless it is wrong.
    pub changes: usize,
    /// How often each step was recorded.
    pub steps: Vec<(String, usize)>,
    /// How many requests were answered at once, by the latest fault.
    pub answers: Vec<Share>,
    /// The longest call, with all its repetitions.
    pub longest_call: Duration,
    /// For each fault, the time until everything accepted before it had its effect, shortest first.
    pub recoveries: Vec<(Duration, Fault)>,
    /// The time from the end of the load until all work was done.
    pub settled_after: Duration,
    /// What became of questions to a provider that shows its faults; `None` if there was none.
    pub replies: Option<Replies>,
}

impl Report {
    /// Whether nothing was lost, duplicated or wrong.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.wrong.is_empty()
    }

    /// The faults of which others noticed too much, although their API was not concerned.
    pub fn noticed(&self) -> impl Iterator<Item = &Share> {
        self.answers.iter().filter(|share| share.is_too_small())
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
        self.recoveries.last().map(|(took, _)| *took).unwrap_or_default()
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
        row("decisions of mentors", self.decisions.to_string())?;
        row("edits of content", self.edits.to_string())?;
        row("lost", self.lost.to_string())?;
        row("duplicated", self.duplicated.to_string())?;
        row("runs repeated", self.repeated_runs.to_string())?;
        row("changes of jobs, as in the model", self.changes.to_string())?;
        for (step, times) in &self.steps {
            row(&format!("  {step}"), times.to_string())?;
        }
        row("requests answered at once after", String::new())?;
        for Share { fault, sent, answered } in &self.answers {
            row(&format!("  {}", fault.name()), format!("{answered} of {sent}"))?;
        }
        row("longest call, repetitions included", seconds(self.longest_call))?;
        row("wrong", self.wrong.len().to_string())?;
        let median = self.recoveries.get(self.recoveries.len() / 2).map(|(took, _)| *took).unwrap_or_default();
        row("recovery p50", seconds(median))?;
        row("the slowest recoveries, after", String::new())?;
        for (took, fault) in self.recoveries.iter().rev().take(5) {
            row(&format!("  {}", fault.name()), seconds(*took))?;
        }
        row("settled after", seconds(self.settled_after))?;
        if let Some(replies) = &self.replies {
            write!(f, "{replies}")?;
        }
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
    for person in expected {
        count_events(pool, person, report).await?;
        check_decisions(pool, person, report).await?;
        check_titles(pool, person, report).await?;
        report.decisions += person.decisions.len();
        report.edits += person.edits.versions.len();
        let Some(expected) = &person.completed else { continue };
        let completed: Vec<Uuid> = sqlx::query_scalar(
            "SELECT lesson_id FROM user_lesson_progress WHERE user_id = $1 AND status = 'completed' ORDER BY lesson_id",
        )
        .bind(person.user_id)
        .fetch_all(pool)
        .await?;
        if completed != *expected {
            report.wrong.push(format!("{}: completed {completed:?}, expected {expected:?}", person.user_id));
        }
    }
    check_versions(pool, expected.iter().map(|person| &person.edits), report).await?;
    report.repeated_runs =
        sqlx::query_scalar("SELECT coalesce(sum(attempts - 1), 0) FROM apalis.jobs WHERE attempts > 1")
            .fetch_one(pool)
            .await?;
    let left_behind: i64 = sqlx::query_scalar(LEFT_BEHIND).fetch_one(pool).await?;
    if left_behind > 0 {
        report.wrong.push(format!("{left_behind} lessons whose tasks are all checked are not completed"));
    }
    let mut verified = verify(pool, Mode::Strict).await?;
    // Jobs of replies are dead if the provider is at fault, which is compared with the replies.
    if expected.iter().any(|person| !person.questions.is_empty()) {
        verified.findings.retain(|finding| {
            finding.kind != Kind::JobDead || finding.differences.iter().any(|dead| dead.ids["queue"] != "replies")
        });
    }
    if !verified.is_clean() {
        report.wrong.push(format!("verify: {verified:#?}"));
    }
    Ok(())
}

/// Counts the rows of the activity log, of which there must be one for each accepted action.
async fn count_events(pool: &PgPool, person: &Expected, report: &mut Report) -> anyhow::Result<()> {
    let logged: Vec<(String, i64)> =
        sqlx::query_as("SELECT action, count(*) FROM activity_log WHERE actor_id = $1 GROUP BY action")
            .bind(person.user_id)
            .fetch_all(pool)
            .await?;
    let logged: BTreeMap<&str, i64> = logged.iter().map(|(action, times)| (action.as_str(), *times)).collect();
    let actions: HashSet<_> = person.counts.certain.keys().chain(person.counts.uncertain.keys()).collect();
    for action in actions {
        let of = |counts: &BTreeMap<&'static str, i64>| counts.get(action).copied().unwrap_or_default();
        let (accepted, uncertain) = (of(&person.counts.certain), of(&person.counts.uncertain));
        let found = logged.get(action).copied().unwrap_or_default();
        report.accepted += accepted;
        report.lost += (accepted - found).max(0);
        report.duplicated += (found - accepted - uncertain).max(0);
    }
    Ok(())
}

/// Each decision is there, recorded once, and its author was told once.
async fn check_decisions(pool: &PgPool, person: &Expected, report: &mut Report) -> anyhow::Result<()> {
    for decision in &person.decisions {
        let (status, recorded, told): (String, i64, i64) = sqlx::query_as(
            "SELECT p.status::text,
                 (SELECT count(*) FROM activity_log a WHERE a.target_id = p.id AND a.actor_id = $2 AND a.action = $3),
                 (SELECT count(*) FROM user_events e WHERE e.user_id = p.user_id
                    AND e.event ->> 'type' = 'project.moderated' AND e.event ->> 'project_id' = p.id::text)
             FROM showcase_projects p WHERE p.id = $1",
        )
        .bind(decision.project_id)
        .bind(person.user_id)
        .bind(decision.action)
        .fetch_one(pool)
        .await?;
        report.lost += i64::from(status != decision.status) + (1 - recorded).max(0) + (1 - told).max(0);
        report.duplicated += (recorded - 1).max(0) + (told - 1).max(0);
    }
    Ok(())
}

/// Each title that an edit gave was recorded once, and what was created is there once.
async fn check_titles(pool: &PgPool, person: &Expected, report: &mut Report) -> anyhow::Result<()> {
    let Edits { titles, uncertain_titles, created, .. } = &person.edits;
    let given: Vec<(String, i64)> = sqlx::query_as(
        "SELECT metadata -> 'after' ->> 'title', count(*) FROM activity_log
         WHERE actor_id = $1 AND action = 'lesson.updated' AND metadata -> 'after' ? 'title' GROUP BY 1",
    )
    .bind(person.user_id)
    .fetch_all(pool)
    .await?;
    let given: BTreeMap<String, i64> = given.into_iter().collect();
    for title in titles {
        let times = given.get(title).copied().unwrap_or_default();
        report.lost += (1 - times).max(0);
        report.duplicated += (times - 1).max(0);
    }
    for (title, times) in &given {
        if !titles.contains(title) {
            report.duplicated += times - i64::from(uncertain_titles.contains(title));
        }
    }
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM lessons WHERE slug::text = ANY ($1)")
        .bind(created)
        .fetch_one(pool)
        .await?;
    let created = i64::try_from(created.len())?;
    report.lost += (created - there).max(0);
    report.duplicated += (there - created).max(0);
    Ok(())
}

/// No two confirmed edits gave a resource the same version, and none was taken back.
async fn check_versions(pool: &PgPool, edits: impl Iterator<Item = &Edits>, report: &mut Report) -> anyhow::Result<()> {
    let stored: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT id, version FROM lessons UNION ALL SELECT id, version FROM stages UNION ALL SELECT id, version FROM roadmaps",
    )
    .fetch_all(pool)
    .await?;
    let stored: BTreeMap<Uuid, i64> = stored.into_iter().collect();
    let mut seen = HashSet::new();
    for (id, version) in edits.flat_map(|edits| &edits.versions) {
        if !seen.insert((id, version)) {
            report.wrong.push(format!("two edits gave {id} the version {version}"));
        }
        report.lost += i64::from(stored.get(id).is_none_or(|stored| stored < version));
    }
    Ok(())
}

/// Lessons that are completed by tasks, with learners who have nothing left to check.
const LEFT_BEHIND: &str = "
    SELECT count(*) FROM user_lesson_progress f JOIN lessons l ON l.id = f.lesson_id
    WHERE f.status = 'in_progress' AND l.completion = 'tasks'
      AND EXISTS (SELECT FROM lesson_tasks t WHERE t.lesson_id = l.id AND t.is_required AND t.deleted_at IS NULL)
      AND NOT EXISTS (
          SELECT FROM lesson_tasks t WHERE t.lesson_id = l.id AND t.is_required AND t.deleted_at IS NULL
            AND NOT EXISTS (SELECT FROM user_lesson_task_progress p WHERE p.user_id = f.user_id AND p.task_id = t.id))";
