//! Generates the answer to a question and stores it while it is being written.
//!
//! The provider sends pieces of text. This job stores them in order and notifies readers. In between it checks whether the
//! reply is still wanted, whether the provider has been silent for too long, and whether the worker is to stop. However it
//! ends, the text received so far is stored first; [`retry_policy`] decides whether there is another attempt.

mod draft;
mod retry_policy;

use std::time::Duration;

use cairn_core::db::Tx;
use cairn_core::tools::attempts::{self, Attempt, Usage};
use cairn_core::tools::jobs::GenerateReply;
use cairn_core::tools::{Reason, messages, replies};
use cairn_core::{Error, failpoint};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::draft::Draft;
use self::retry_policy::{GIVE_UP_AFTER, RetryDecision};
use crate::Context;
use crate::providers::{Ended, Failure, History, Permit, Piece};
use crate::run::JobError;

/// How often the job checks whether the reply is still wanted. A cancellation is noticed within this time.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// How many pieces may wait to be stored. A faster provider has to wait for the database.
const PIECE_BUFFER: usize = 64;

pub(super) async fn run(context: Context, job: GenerateReply) -> Result<(), JobError> {
    let mut connection = context.db.pool().acquire().await.map_err(Error::from)?;
    let Some(waited) = attempts::waiting_for(&mut connection, job).await? else { return Ok(()) };
    let started = Instant::now();
    let permit = match context.provider.admit() {
        Ok(permit) => permit,
        Err(delay) => {
            drop(connection);
            return defer(&context, job, waited, delay).await;
        }
    };
    let attempt = attempts::begin(&mut connection, job.reply_id, context.provider.name()).await?;
    let Some(attempt) = attempt else { return Ok(()) };
    context.db.notifier().notify_readers(job.reply_id);
    let history = match attempt.question_id {
        Some(question) => messages::before(&mut connection, question, context.provider.history_chars()).await?,
        None => History::new(),
    };
    drop(connection);
    let mut generation = Generation::new(&context, &attempt, permit, started);
    let end = if retry_policy::crashes_workers(&attempt.earlier) {
        End::Failed(Failure::new(Reason::AttemptsExhausted, "its workers were lost repeatedly"))
    } else {
        generation.run(history).await?
    };
    generation.finalize(end, waited + started.elapsed()).await
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

/// How an attempt ended.
enum End {
    /// The answer is complete.
    Complete(Ended),
    /// There is no answer, or only its beginning.
    Failed(Failure),
    /// The worker was told to stop.
    Interrupted,
    /// The reply is no longer wanted, or another attempt has taken over.
    Lost,
}

impl End {
    /// The name in logs and metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Complete(_) => "completed",
            Self::Failed(failure) => failure.reason.code(),
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
        }
    }
}

/// An attempt in progress.
struct Generation<'a> {
    context: &'a Context,
    attempt: &'a Attempt,
    permit: Permit,
    draft: Draft,
    usage: Usage,
    started: Instant,
    /// When the provider will have been silent for too long.
    silent_at: Instant,
    /// When to check whether the reply is still wanted.
    check_at: Instant,
    /// When to stop because the worker is to stop.
    stop_at: Option<Instant>,
}

impl<'a> Generation<'a> {
    fn new(context: &'a Context, attempt: &'a Attempt, permit: Permit, started: Instant) -> Self {
        let usage = Usage { model: context.provider.model(attempt).map(str::to_owned), ..Usage::default() };
        let silent_at = started + context.provider.limits().first_token;
        let check_at = started + CHECK_INTERVAL;
        Self { context, attempt, permit, draft: Draft::default(), usage, started, silent_at, check_at, stop_at: None }
    }

    /// Receives pieces from the provider until the attempt ends.
    async fn run(&mut self, history: History) -> Result<End, JobError> {
        let (context, attempt) = (self.context, self.attempt);
        let (out, mut pieces) = mpsc::channel(PIECE_BUFFER);
        let generating = context.provider.generate(attempt, history, out);
        tokio::pin!(generating);
        loop {
            tokio::select! {
                biased;
                Some(piece) = pieces.recv() => self.receive(piece),
                ended = &mut generating => {
                    while let Ok(piece) = pieces.try_recv() {
                        self.receive(piece);
                    }
                    return Ok(match ended {
                        Ok(_) if self.draft.is_too_long() => End::Failed(too_long()),
                        Ok(ended) => End::Complete(ended),
                        Err(failure) => End::Failed(failure),
                    });
                }
                () = context.shutdown.cancelled(), if self.stop_at.is_none() => {
                    self.stop_at = Some(Instant::now() + context.provider.limits().at_stop);
                }
                () = sleep_until(self.next_check()) => {}
            }
            if let Some(end) = self.check().await? {
                return Ok(end);
            }
        }
    }

    fn receive(&mut self, piece: Piece) {
        match piece {
            Piece::Accepted { prompt_tokens } => {
                self.usage.prompt_tokens = Some(prompt_tokens);
                return; // not yet a sign of an answer
            }
            Piece::Thinking => {}
            Piece::Text(text) => {
                self.usage.first_token.get_or_insert_with(|| self.started.elapsed());
                self.draft.push(&text);
            }
        }
        self.permit.succeeded();
        self.silent_at = Instant::now() + self.context.provider.limits().silence;
    }

    fn too_slow_at(&self) -> Instant {
        self.started + self.context.provider.limits().total
    }

    /// When something has to be done even if no piece arrives.
    fn next_check(&self) -> Instant {
        let times = [Some(self.silent_at), Some(self.check_at), self.stop_at, self.draft.due()];
        times.into_iter().flatten().fold(self.too_slow_at(), Instant::min)
    }

    /// Does what is due. Returns `Some` if the attempt has ended.
    async fn check(&mut self) -> Result<Option<End>, JobError> {
        if self.draft.is_too_long() {
            return Ok(Some(End::Failed(too_long())));
        }
        let now = Instant::now();
        if self.check_at <= now || self.draft.due().is_some_and(|due| due <= now) {
            self.check_at = now + CHECK_INTERVAL;
            if !self.store_or_check().await? {
                return Ok(Some(End::Lost));
            }
        }
        let limits = self.context.provider.limits();
        let silence = |what: &str, time: Duration| format!("no data for {} s {what}", time.as_secs_f64());
        Ok(if self.too_slow_at() <= now {
            let detail = format!("not complete after {} s", limits.total.as_secs_f64());
            Some(End::Failed(Failure::new(Reason::TooSlow, detail)))
        } else if self.silent_at > now {
            self.stop_at.filter(|at| *at <= now).map(|_| End::Interrupted)
        } else if self.draft.is_empty() {
            Some(End::Failed(Failure::new(Reason::Silent, silence("after the request", limits.first_token))))
        } else {
            Some(End::Failed(Failure::new(Reason::BrokenOff, silence("in the middle of the answer", limits.silence))))
        })
    }

    /// Stores new text, or checks whether it could be stored. Returns `false` if this attempt may no longer write.
    async fn store_or_check(&mut self) -> Result<bool, JobError> {
        let mut connection = self.context.db.pool().acquire().await.map_err(Error::from)?;
        if self.draft.due().is_none() {
            return Ok(attempts::may_write(&mut connection, self.attempt).await?);
        }
        let stored = self.draft.store(&mut connection, self.attempt).await?;
        self.context.db.notifier().notify_readers(self.attempt.reply_id);
        Ok(stored)
    }

    /// Stores the remaining text, and how the attempt ended.
    async fn finalize(mut self, end: End, waited: Duration) -> Result<(), JobError> {
        if matches!(end, End::Complete(_)) {
            failpoint::pass(failpoint::AFTER_EXTERNAL_CALL);
        }
        self.record_usage(&end);
        let end = if self.store_or_check().await? { end } else { End::Lost };
        let (attempt, usage) = (self.attempt, &self.usage);
        let mut tx = self.context.db.begin().await?;
        let (is_current, result) = match end {
            End::Complete(_) => {
                let text = self.draft.text();
                (attempts::complete(&mut tx, attempt, text, usage).await?, Ok(()))
            }
            End::Failed(failure) => self.fail(&mut tx, &failure, waited).await?,
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
        tx.commit().await?;
        if is_current { result } else { Ok(()) }
    }

    /// Records what the attempt used and whether the endpoint works.
    fn record_usage(&mut self, end: &End) {
        match end {
            End::Complete(ended) => {
                self.permit.succeeded();
                self.usage.prompt_tokens = ended.prompt_tokens.or(self.usage.prompt_tokens);
                self.usage.completion_tokens = ended.completion_tokens;
                self.usage.is_cut = ended.is_cut;
            }
            End::Failed(failure) => match retry_policy::endpoint_works(failure.reason) {
                Some(true) => self.permit.succeeded(),
                Some(false) => self.permit.failed(),
                None => {}
            },
            End::Interrupted | End::Lost => {}
        }
        self.context.provider.account(&mut self.usage, self.draft.text());
        if let Some(metrics) = &self.context.reply_metrics {
            metrics.count(end.name(), &self.usage);
        }
        tracing::info!(
            reply.id = %self.attempt.reply_id,
            reply.attempt = self.attempt.number,
            reply.end = end.name(),
            ai.provider = self.context.provider.name(),
            ai.model = self.usage.model,
            ai.prompt_tokens = self.usage.prompt_tokens,
            ai.completion_tokens = self.usage.completion_tokens,
            first_token_ms = self.usage.first_token.map(|time| time.as_millis()),
            total_ms = self.started.elapsed().as_millis(),
            "a reply attempt has ended"
        );
    }

    /// Retries the reply or gives it up. Returns whether this attempt was still the current one, and the result of the job.
    async fn fail(
        &self,
        tx: &mut Tx,
        failure: &Failure,
        waited: Duration,
    ) -> Result<(bool, Result<(), JobError>), JobError> {
        let (attempt, usage, detail) = (self.attempt, &self.usage, &failure.detail);
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
}

fn too_long() -> Failure {
    Failure::new(Reason::AnswerTooLong, "the answer exceeds the maximum length")
}
