//! Asks the provider the next question of a run of an evaluation, and stores the answer.

use std::time::Duration;

use cairn_core::Result;
use cairn_core::db::Db;
use cairn_core::refusal::Rejected;
use cairn_core::tools::attempts::Usage;
use cairn_core::tools::budgets::BudgetExceeded;
use cairn_core::tools::evaluation_attempts::{self as attempts, EvaluationAttempt};
use cairn_core::tools::jobs::RunEvaluation;
use cairn_core::tools::{Reason, budgets, evaluation_runs as runs};

use crate::Context;
use crate::generation::{End, Generation, Sink, find_by_meaning, patiently};
use crate::providers::{Begun, History};
use crate::run::JobError;

/// How often a question is asked that has no usable answer.
const MAX_ATTEMPTS: i32 = 3;

/// How long to wait before a question is asked again, unless the provider says when.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: Context, job: RunEvaluation) -> Result<(), JobError> {
    // A provider that does not work says nothing about the instruction, so the run waits.
    let permit = context.provider.admit().map_err(JobError::Snooze)?;
    let mut connection = context.db.acquire().await?;
    let Some(mut attempt) = attempts::begin(&mut connection, job.run_id, context.lease.as_deref()).await? else {
        return Ok(runs::complete(&mut connection, job.run_id).await?);
    };
    let settings = context.settings.get(&mut connection).await?;
    match budgets::check(&mut connection, &settings, None, attempt.request.tool).await {
        Ok(()) => {}
        // Reserved for replies, which may cost less.
        Err(Rejected::Refused(BudgetExceeded(used))) if !used.is_spent() => return Err(JobError::Snooze(PAUSE)),
        Err(Rejected::Refused(_)) => {
            drop(connection);
            let mut tx = context.db.begin().await?;
            let exceeded = Some(Reason::BudgetExceeded);
            attempts::finish(&mut tx, &attempt, "", exceeded, &Usage::default()).await?;
            return Ok(tx.commit().await?);
        }
        Err(Rejected::Failed(error)) => return Err(error.into()),
    }
    drop(connection);
    if find_by_meaning(&context, attempt.created_by.unwrap_or_default(), &mut attempt.request).await? {
        let mut connection = context.db.acquire().await?;
        if !attempts::use_context(&mut connection, &attempt).await? {
            return Ok(());
        }
    }
    let waiting = Waiting { db: &context.db, attempt: &attempt };
    let mut generation = Generation::new(&context, &attempt.request, waiting, permit);
    let end = Box::pin(generation.run(History::new(), Begun::default())).await?;
    let failed = match generation.conclude(end).await? {
        End::Complete(_) => None,
        // It says nothing about the instruction, so the question is asked again.
        End::Failed(failure) if is_asked_again(failure.reason, &attempt) => {
            attempts::record(&mut *context.db.acquire().await?, &attempt, generation.usage()).await?;
            return Err(JobError::Snooze(failure.after.unwrap_or(PAUSE)));
        }
        End::Failed(failure) => Some(failure.reason),
        End::Interrupted => {
            attempts::record(&mut *context.db.acquire().await?, &attempt, generation.usage()).await?;
            return Err(JobError::Snooze(Duration::ZERO));
        }
        End::Lost => return Ok(()),
    };
    let store = || async {
        let mut tx = context.db.begin().await?;
        if !attempts::finish(&mut tx, &attempt, generation.text(), failed, generation.usage()).await? {
            return Ok(()); // another job goes on with the run
        }
        runs::complete(&mut tx, job.run_id).await?;
        let settings = context.settings.get(&mut tx).await?;
        budgets::warn(&mut tx, &settings, None, attempt.request.tool).await?;
        // The next question is asked by another job, after the replies that wait meanwhile.
        if runs::is_running(&mut tx, job.run_id).await? {
            tx.enqueue(&job)?;
        }
        tx.commit().await
    };
    Ok(patiently(|_| true, store).await?)
}

/// Whether a question is asked again after a failure: if the provider may work later, for a day, and if another attempt may do better,
/// some times.
fn is_asked_again(reason: Reason, attempt: &EvaluationAttempt) -> bool {
    match reason {
        Reason::Unreachable | Reason::ProviderError | Reason::RateLimited => !attempt.is_overdue,
        Reason::BrokenOff
        | Reason::Silent
        | Reason::TooSlow
        | Reason::Malformed
        | Reason::UnknownEnd
        | Reason::EmptyAnswer => attempt.attempt_number < MAX_ATTEMPTS,
        _ => false,
    }
}

/// Stores no text before the end, because nobody reads it.
struct Waiting<'a> {
    db: &'a Db,
    attempt: &'a EvaluationAttempt,
}

impl Sink for Waiting<'_> {
    async fn store(&mut self, _: &str) -> Result<bool> {
        self.is_wanted().await
    }

    async fn asking(&self, prompt_tokens: i32) -> Result<bool> {
        let Self { db, attempt } = *self;
        let note = || async move { attempts::asking(&mut *db.acquire().await?, attempt, prompt_tokens).await };
        patiently(|_| true, note).await
    }

    async fn is_wanted(&self) -> Result<bool> {
        let Self { db, attempt } = *self;
        let is_wanted = || async move { attempts::may_write(&mut *db.acquire().await?, attempt).await };
        patiently(|_| true, is_wanted).await
    }
}
