//! Generates the answer to a question and stores it while it is being written.
//!
//! However an attempt ends, the text received so far is stored first; [`retry_policy`] decides whether there is another one.

mod retry_policy;

use std::time::Duration;

use cairn_core::db::{Db, Tx};
use cairn_core::tools::attempts::{self, Attempt, Usage};
use cairn_core::tools::jobs::GenerateReply;
use cairn_core::tools::{Citations, Reason, budgets, messages, replies};
use cairn_core::{Result, Transient};
use tokio::time::Instant;

use self::retry_policy::{GIVE_UP_AFTER, RetryDecision};
use crate::Context;
use crate::generation::{End, Generation, Sink, find_by_meaning, patiently};
use crate::metrics::ReplyMetrics;
use crate::providers::{Begun, Failure, History};
use crate::run::JobError;

pub(super) async fn run(context: Context, job: GenerateReply) -> Result<(), JobError> {
    let mut connection = context.db.acquire().await?;
    let Some(waited) = attempts::waiting_for(&mut connection, job).await? else {
        let kept = attempts::left_behind(&mut connection, job.reply_id).await?;
        drop(connection);
        if let Some(response_id) = kept {
            context.provider.abandon(&response_id).await;
        }
        return Ok(());
    };
    let started = Instant::now();
    let permit = match context.provider.admit() {
        Ok(permit) => permit,
        Err(delay) => {
            drop(connection);
            return defer(&context, job, waited, delay).await;
        }
    };
    let attempt =
        attempts::begin(&mut connection, job.reply_id, context.provider.name(), context.lease.as_deref()).await?;
    let Some(mut attempt) = attempt else { return Ok(()) };
    context.db.notifier().notify_readers(job.reply_id);
    let history = match attempt.question_id {
        Some(question) => messages::before(&mut connection, question, context.provider.history_chars()).await?,
        None => History::new(),
    };
    let settings = context.settings.get(&mut connection).await?;
    let is_affordable = budgets::leave_room(&mut connection, &settings, &attempt).await?;
    drop(connection);
    let gives_up = if retry_policy::crashes_workers(&attempt.earlier) {
        Some(Failure::new(Reason::AttemptsExhausted, "its workers were lost repeatedly"))
    } else if !is_affordable {
        Some(Failure::new(Reason::BudgetExceeded, "earlier attempts have used up a budget"))
    } else {
        None
    };
    if gives_up.is_none() && find_by_meaning(&context, attempt.user_id, &mut attempt.request).await? {
        // Stored first, so that whoever takes over asks the provider for the same.
        let mut connection = context.db.acquire().await?;
        if !attempts::use_context(&mut connection, &attempt).await? {
            return Ok(());
        }
    }
    let chunks = Chunks { db: &context.db, attempt: &attempt, seq: 0 };
    let mut generation = Generation::new(&context, &attempt.request, chunks, permit);
    let end = match gives_up {
        Some(failure) => End::Failed(failure),
        None => Box::pin(generation.run(history, begun(&attempt, job))).await?,
    };
    let end = generation.conclude(end).await?;
    log(&context, &attempt, &end, &generation, started);
    // An end that was stored, though that is not known, is not stored again as another one.
    let may_be_repeated = |why: Transient| matches!(end, End::Complete(_)) || !why.may_be_our_fault();
    let store = || finalize(&context, &attempt, &end, &generation, waited + started.elapsed());
    let result = patiently(may_be_repeated, store).await?;
    if let (false, Some(response_id)) = (matches!(end, End::Complete(_)), generation.kept()) {
        let mut connection = context.db.acquire().await?;
        // If there is another attempt, it goes on with the answer.
        if attempts::waiting_for(&mut connection, job).await?.is_none() {
            drop(connection);
            context.provider.abandon(response_id).await;
        }
    }
    result
}

/// What is known of an answer that an earlier attempt was waiting for.
fn begun(attempt: &Attempt, job: GenerateReply) -> Begun {
    // An attempt whose worker was lost asked the same question. One that failed did not, because its answer is over.
    let failed = retry_policy::failed(&attempt.earlier).count();
    Begun { kept: attempt.kept.clone(), key: Some(format!("{}-{}-{failed}", attempt.reply_id, job.retry)) }
}

/// Postpones the reply, because the provider does not work and is not being called.
async fn defer(context: &Context, job: GenerateReply, waited: Duration, delay: Duration) -> Result<(), JobError> {
    if let Some(metrics) = &context.reply_metrics {
        metrics.deferred.inc();
    }
    // Spread out, so that replies do not all come back at the same moment.
    let delay = delay.mul_f64(1.0 + rand::random::<f64>() / 2.0);
    if waited + delay <= GIVE_UP_AFTER {
        return Err(JobError::Snooze(delay));
    }
    let mut tx = context.db.begin().await?;
    replies::fail_open(&mut tx, job.reply_id, Reason::ProviderUnavailable).await?;
    tx.commit().await?;
    Err(JobError::discard("the provider did not recover in time"))
}

/// Stores the text of an attempt in chunks, and notifies its readers.
struct Chunks<'a> {
    db: &'a Db,
    attempt: &'a Attempt,
    /// The sequence number of the last stored chunk.
    seq: i32,
}

impl Chunks<'_> {
    async fn append(&mut self, text: &str, is_thinking: bool) -> Result<bool> {
        let (db, attempt, seq) = (self.db, self.attempt, self.seq + 1);
        let append = || async move {
            let mut connection = db.acquire().await?;
            attempts::append(&mut connection, attempt, seq, text, is_thinking).await
        };
        let stored = patiently(|_| true, append).await?;
        self.seq = seq;
        self.db.notifier().notify_readers(self.attempt.reply_id);
        Ok(stored)
    }
}

impl Sink for Chunks<'_> {
    async fn store(&mut self, text: &str) -> Result<bool> {
        self.append(text, false).await
    }

    async fn store_thinking(&mut self, text: &str) -> Result<bool> {
        self.append(text, true).await
    }

    fn shows_thinking(&self) -> bool {
        self.attempt.show_thinking
    }

    async fn is_wanted(&self) -> Result<bool> {
        let Self { db, attempt, .. } = *self;
        let is_wanted = || async move { attempts::may_write(&mut *db.acquire().await?, attempt).await };
        patiently(|_| true, is_wanted).await
    }

    async fn asking(&self, prompt_tokens: i32) -> Result<bool> {
        let Self { db, attempt, .. } = *self;
        let note = || async move { attempts::asking(&mut *db.acquire().await?, attempt, prompt_tokens).await };
        patiently(|_| true, note).await
    }

    async fn kept(&self, response_id: Option<&str>) -> Result<()> {
        let Self { db, attempt, .. } = *self;
        let note = || async move { attempts::keep(&mut *db.acquire().await?, attempt, response_id).await };
        patiently(|_| true, note).await
    }
}

fn log<S: Sink>(context: &Context, attempt: &Attempt, end: &End, generation: &Generation<'_, S>, started: Instant) {
    let usage = generation.usage();
    tracing::info!(
        reply.id = %attempt.reply_id,
        reply.attempt = attempt.number,
        reply.end = end.name(),
        ai.provider = context.provider.name(),
        ai.model = usage.model,
        ai.prompt_tokens = usage.prompt_tokens,
        ai.completion_tokens = usage.completion_tokens,
        first_token_ms = usage.first_token.map(|time| time.as_millis()),
        total_ms = started.elapsed().as_millis(),
        "a reply attempt has ended"
    );
}

/// Stores how the attempt ended. Returns the result of the job.
async fn finalize<S: Sink>(
    context: &Context,
    attempt: &Attempt,
    end: &End,
    generation: &Generation<'_, S>,
    waited: Duration,
) -> Result<Result<(), JobError>> {
    let usage = generation.usage();
    let mut tx = context.db.begin().await?;
    let (is_current, result) = match end {
        End::Complete(_) => {
            let metrics = context.reply_metrics.as_ref();
            (complete(&mut tx, attempt, generation.text(), usage, metrics).await?, Ok(()))
        }
        End::Failed(failure) => fail(&mut tx, attempt, generation, failure, waited).await?,
        End::Interrupted => {
            let why = "the worker was stopped";
            let requeued = attempts::requeue(&mut tx, attempt, Reason::Interrupted, why, usage).await?;
            (requeued, Err(JobError::Snooze(Duration::ZERO)))
        }
        End::Lost => (false, Ok(())),
    };
    if !is_current {
        attempts::record_superseded(&mut tx, attempt, usage).await?;
    }
    let settings = context.settings.get(&mut tx).await?;
    budgets::warn(&mut tx, &settings, Some(attempt.user_id), attempt.request.tool).await?;
    tx.commit().await?;
    Ok(if is_current { result } else { Ok(()) })
}

/// Stores the answer, and counts what it cites.
async fn complete(
    tx: &mut Tx,
    attempt: &Attempt,
    text: &str,
    usage: &Usage,
    metrics: Option<&ReplyMetrics>,
) -> Result<bool> {
    let is_completed = attempts::complete(tx, attempt, text, usage).await?;
    if let Some(metrics) = metrics.filter(|_| is_completed) {
        metrics.count_citations(&Citations::of(text, &attempt.request.context.sources));
    }
    Ok(is_completed)
}

/// Retries the reply or gives it up. Returns whether this attempt was still the current one, and the result of the job.
async fn fail<S: Sink>(
    tx: &mut Tx,
    attempt: &Attempt,
    generation: &Generation<'_, S>,
    failure: &Failure,
    waited: Duration,
) -> Result<(bool, Result<(), JobError>)> {
    let (usage, detail) = (generation.usage(), &failure.detail);
    let code = failure.reason.code();
    Ok(match RetryDecision::after(failure, &attempt.earlier, waited, rand::random()) {
        RetryDecision::RetryAfter(delay) => {
            let requeued = attempts::requeue(tx, attempt, failure.reason, detail, usage).await?;
            (requeued, Err(JobError::RetryIn(delay, format!("the provider: {code}"))))
        }
        RetryDecision::GiveUp(reason) => {
            let failed = attempts::fail(tx, attempt, reason, failure.reason, detail, usage).await?;
            let error = format!("the reply has failed: {}; the provider: {code}", reason.code());
            (failed, if retry_policy::concerns_operators(reason) { Err(JobError::discard(error)) } else { Ok(()) })
        }
    })
}
