//! Asks the provider the question of a try-out, and stores the answer, or why there is none.

use std::time::Duration;

use cairn_core::Result;
use cairn_core::db::Db;
use cairn_core::tools::attempts::Usage;
use cairn_core::tools::jobs::AnswerTryout;
use cairn_core::tools::tryouts::{self, TryoutAttempt};
use cairn_core::tools::{Reason, budgets};
use tokio::time::Instant;

use crate::Context;
use crate::generation::{End, Generation, Sink, find_by_meaning, patiently};
use crate::providers::{Begun, History};
use crate::run::JobError;

pub(super) async fn run(context: Context, job: AnswerTryout) -> Result<(), JobError> {
    let mut connection = context.db.acquire().await?;
    let started = Instant::now();
    let attempt =
        tryouts::begin(&mut connection, job.tryout_id, context.provider.name(), context.lease.as_deref()).await?;
    let Some(mut attempt) = attempt else { return Ok(()) };
    let Ok(permit) = context.provider.admit() else {
        let why = (Reason::ProviderUnavailable, "the provider has failed repeatedly, and is not called at the moment");
        return Ok(tryouts::finish(&mut connection, &attempt, "", Some(why), &Usage::default()).await?);
    };
    drop(connection);
    find_by_meaning(&context, attempt.created_by, &mut attempt.request).await?;
    let waiting = Waiting { db: &context.db, attempt: &attempt };
    let mut generation = Generation::new(&context, &attempt.request, waiting, permit);
    let end = Box::pin(generation.run(History::new(), Begun::default())).await?;
    let end = generation.conclude(end).await?;
    tracing::info!(
        tryout.id = %attempt.tryout_id,
        tryout.end = end.name(),
        ai.provider = context.provider.name(),
        ai.model = generation.usage().model,
        total_ms = started.elapsed().as_millis(),
        "an attempt at a try-out has ended"
    );
    let failed = match &end {
        End::Complete(_) => None,
        End::Failed(failure) => Some((failure.reason, failure.detail.as_str())),
        End::Interrupted => {
            tryouts::record(&mut *context.db.acquire().await?, &attempt, generation.usage()).await?;
            return Err(JobError::Snooze(Duration::ZERO));
        }
        End::Lost => return Ok(()),
    };
    let store = || async {
        let mut tx = context.db.begin().await?;
        tryouts::finish(&mut tx, &attempt, generation.text(), failed, generation.usage()).await?;
        let settings = context.settings.get(&mut tx).await?;
        budgets::warn(&mut tx, &settings, None, attempt.request.tool).await?;
        tx.commit().await
    };
    Ok(patiently(|_| true, store).await?)
}

/// Stores no text before the end, because nobody reads it.
struct Waiting<'a> {
    db: &'a Db,
    attempt: &'a TryoutAttempt,
}

impl Sink for Waiting<'_> {
    async fn store(&mut self, _: &str) -> Result<bool> {
        self.is_wanted().await
    }

    async fn asking(&self, prompt_tokens: i32) -> Result<bool> {
        let Self { db, attempt } = *self;
        let note = || async move { tryouts::asking(&mut *db.acquire().await?, attempt, prompt_tokens).await };
        patiently(|_| true, note).await
    }

    async fn is_wanted(&self) -> Result<bool> {
        let Self { db, attempt } = *self;
        let is_wanted = || async move { tryouts::may_write(&mut *db.acquire().await?, attempt).await };
        patiently(|_| true, is_wanted).await
    }
}
