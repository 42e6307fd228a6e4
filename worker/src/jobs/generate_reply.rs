//! Writes the answer to a question, as it comes.
//!
//! The provider writes and this job listens: it stores what came, in order, tells readers, and in between looks whether
//! the reply is still wanted, whether the provider has been silent for too long, and whether the worker is to stop. What
//! it has is stored before it leaves, whatever the reason ([`fate`] knows what follows from each).

mod draft;
mod fate;

use std::time::Duration;

use cairn_core::db::Tx;
use cairn_core::tools::attempts::{self, Attempt, Usage};
use cairn_core::tools::jobs::GenerateReply;
use cairn_core::tools::{Reason, messages, replies};
use cairn_core::{Error, failpoint};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::draft::Draft;
use self::fate::{Fate, GIVE_UP_AFTER};
use crate::providers::{Ended, Failure, History, Permit, Piece};
use crate::{Context, JobError};

/// How often a silent provider's job looks whether the reply is still wanted. A cancellation is noticed within it.
const LOOK: Duration = Duration::from_millis(500);

/// Pieces that wait here; a provider that is faster waits for the database.
const PIECES: usize = 64;

pub(super) async fn run(context: Context, job: GenerateReply) -> Result<(), JobError> {
    let mut connection = context.db.pool().acquire().await.map_err(Error::from)?;
    let Some(waited) = attempts::waiting_for(&mut connection, job).await? else { return Ok(()) };
    let begun = Instant::now();
    let permit = match context.provider.admit() {
        Ok(permit) => permit,
        Err(delay) => {
            drop(connection);
            return stand_aside(&context, job, waited, delay).await;
        }
    };
    let attempt = attempts::begin(&mut connection, job.reply_id, context.provider.name()).await?;
    let Some(attempt) = attempt else { return Ok(()) };
    context.db.bell().announce(job.reply_id);
    let history = match attempt.question_id {
        Some(question) => messages::before(&mut connection, question, context.provider.history_chars()).await?,
        None => History::new(),
    };
    drop(connection);
    let mut writing = Writing::new(&context, &attempt, permit, begun);
    let end = if fate::takes_workers_down(&attempt.earlier) {
        End::Failed(Failure::new(Reason::AttemptsExhausted, "its workers were lost, again and again"))
    } else {
        writing.write(history).await?
    };
    writing.settle(end, waited + begun.elapsed()).await
}

/// Leaves a provider alone that does not work.
async fn stand_aside(context: &Context, job: GenerateReply, waited: Duration, delay: Duration) -> Result<(), JobError> {
    if let Some(metrics) = &context.reply_metrics {
        metrics.stood_aside.inc();
    }
    // Not all at the same moment.
    let delay = delay.mul_f64(1.0 + rand::random::<f64>() / 2.0);
    if waited + delay <= GIVE_UP_AFTER {
        return Err(JobError::Snooze(delay));
    }
    let mut tx = context.db.begin().await?;
    replies::fail_open(&mut tx, job.reply_id, Reason::ProviderUnavailable).await?;
    tx.commit().await?;
    Err(JobError::discard("the provider did not come back in time"))
}

/// How writing ended.
enum End {
    /// The answer is complete.
    Complete(Ended),
    /// There is none, or only its beginning.
    Failed(Failure),
    /// The worker is to stop.
    Interrupted,
    /// The reply is not wanted any more, or another attempt writes it.
    Lost,
}

impl End {
    /// For the log.
    fn name(&self) -> &'static str {
        match self {
            Self::Complete(_) => "completed",
            Self::Failed(failure) => failure.reason.code(),
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
        }
    }
}

/// An attempt under way.
struct Writing<'a> {
    context: &'a Context,
    attempt: &'a Attempt,
    permit: Permit,
    draft: Draft,
    usage: Usage,
    begun: Instant,
    /// When the provider has been silent for too long.
    silent_at: Instant,
    /// When to look whether the reply is still wanted.
    look_at: Instant,
    /// When to leave because the worker is to stop.
    leave_at: Option<Instant>,
}

impl<'a> Writing<'a> {
    fn new(context: &'a Context, attempt: &'a Attempt, permit: Permit, begun: Instant) -> Self {
        let usage = Usage { model: context.provider.model(attempt).map(str::to_owned), ..Usage::default() };
        let silent_at = begun + context.provider.limits().first_token;
        let look_at = begun + LOOK;
        Self { context, attempt, permit, draft: Draft::default(), usage, begun, silent_at, look_at, leave_at: None }
    }

    /// Lets the provider write until there is an end.
    async fn write(&mut self, history: History) -> Result<End, JobError> {
        let (context, attempt) = (self.context, self.attempt);
        let (out, mut pieces) = mpsc::channel(PIECES);
        let generation = context.provider.generate(attempt, history, out);
        tokio::pin!(generation);
        loop {
            tokio::select! {
                biased;
                Some(piece) = pieces.recv() => self.take(piece),
                ended = &mut generation => {
                    while let Ok(piece) = pieces.try_recv() {
                        self.take(piece);
                    }
                    return Ok(match ended {
                        Ok(_) if self.draft.is_too_long() => End::Failed(too_long()),
                        Ok(ended) => End::Complete(ended),
                        Err(failure) => End::Failed(failure),
                    });
                }
                () = context.shutdown.cancelled(), if self.leave_at.is_none() => {
                    self.leave_at = Some(Instant::now() + context.provider.limits().at_stop);
                }
                () = sleep_until(self.next_look()) => {}
            }
            if let Some(end) = self.look().await? {
                return Ok(end);
            }
        }
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Accepted { prompt_tokens } => {
                self.usage.prompt_tokens = Some(prompt_tokens);
                return; // no sign of an answer yet
            }
            Piece::Thinking => {}
            Piece::Text(text) => {
                self.usage.first_token.get_or_insert_with(|| self.begun.elapsed());
                self.draft.push(&text);
            }
        }
        self.permit.works();
        self.silent_at = Instant::now() + self.context.provider.limits().silence;
    }

    fn too_slow_at(&self) -> Instant {
        self.begun + self.context.provider.limits().total
    }

    /// When something has to be done though nothing came.
    fn next_look(&self) -> Instant {
        let times = [Some(self.silent_at), Some(self.look_at), self.leave_at, self.draft.due()];
        times.into_iter().flatten().fold(self.too_slow_at(), Instant::min)
    }

    /// Does what is due. `Some` = that was it.
    async fn look(&mut self) -> Result<Option<End>, JobError> {
        if self.draft.is_too_long() {
            return Ok(Some(End::Failed(too_long())));
        }
        let now = Instant::now();
        if self.look_at <= now || self.draft.due().is_some_and(|due| due <= now) {
            self.look_at = now + LOOK;
            if !self.store_or_ask().await? {
                return Ok(Some(End::Lost));
            }
        }
        let limits = self.context.provider.limits();
        let silence = |what: &str, time: Duration| format!("nothing came for {} s {what}", time.as_secs_f64());
        Ok(if self.too_slow_at() <= now {
            let detail = format!("not complete after {} s", limits.total.as_secs_f64());
            Some(End::Failed(Failure::new(Reason::TooSlow, detail)))
        } else if self.silent_at > now {
            self.leave_at.filter(|at| *at <= now).map(|_| End::Interrupted)
        } else if self.draft.is_empty() {
            Some(End::Failed(Failure::new(Reason::Silent, silence("after the request", limits.first_token))))
        } else {
            Some(End::Failed(Failure::new(Reason::BrokenOff, silence("amid the answer", limits.silence))))
        })
    }

    /// Stores what is new, or asks whether it would be. False when this attempt may no longer write.
    async fn store_or_ask(&mut self) -> Result<bool, JobError> {
        let mut connection = self.context.db.pool().acquire().await.map_err(Error::from)?;
        if self.draft.due().is_none() {
            return Ok(attempts::may_write(&mut connection, self.attempt).await?);
        }
        let stored = self.draft.store(&mut connection, self.attempt).await?;
        self.context.db.bell().announce(self.attempt.reply_id);
        Ok(stored)
    }

    /// Stores what there is, and what follows from how it ended.
    async fn settle(mut self, end: End, waited: Duration) -> Result<(), JobError> {
        if matches!(end, End::Complete(_)) {
            failpoint::pass(failpoint::AFTER_EXTERNAL_CALL);
        }
        self.sum_up(&end);
        let end = if self.store_or_ask().await? { end } else { End::Lost };
        let (attempt, usage) = (self.attempt, &self.usage);
        let mut tx = self.context.db.begin().await?;
        let (still_ours, result) = match end {
            End::Complete(_) => {
                let text = self.draft.text();
                (attempts::complete(&mut tx, attempt, text, usage).await?, Ok(()))
            }
            End::Failed(failure) => self.fail(&mut tx, &failure, waited).await?,
            End::Interrupted => {
                let why = "the worker was stopped";
                let put_back = attempts::put_back(&mut tx, attempt, Reason::Interrupted, why, usage).await?;
                (put_back, Err(JobError::Snooze(Duration::ZERO)))
            }
            End::Lost => (false, Ok(())),
        };
        if !still_ours {
            attempts::give_way(&mut tx, attempt, usage).await?;
        }
        tx.commit().await?;
        if still_ours { result } else { Ok(()) }
    }

    /// What the attempt used, and how the endpoint is.
    fn sum_up(&mut self, end: &End) {
        match end {
            End::Complete(ended) => {
                self.permit.works();
                self.usage.prompt_tokens = ended.prompt_tokens.or(self.usage.prompt_tokens);
                self.usage.completion_tokens = ended.completion_tokens;
                self.usage.is_cut = ended.is_cut;
            }
            End::Failed(failure) => match fate::works(failure.reason) {
                Some(true) => self.permit.works(),
                Some(false) => self.permit.fails(),
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
            total_ms = self.begun.elapsed().as_millis(),
            "an attempt at a reply has ended"
        );
    }

    /// Another attempt, or none. Returns whether the reply was still this attempt's, and what becomes of the job.
    async fn fail(
        &self,
        tx: &mut Tx,
        failure: &Failure,
        waited: Duration,
    ) -> Result<(bool, Result<(), JobError>), JobError> {
        let (attempt, usage, detail) = (self.attempt, &self.usage, &failure.detail);
        let code = failure.reason.code();
        Ok(match Fate::of(failure, &attempt.earlier, waited, rand::random()) {
            Fate::Again(delay) => {
                let put_back = attempts::put_back(tx, attempt, failure.reason, detail, usage).await?;
                (put_back, Err(JobError::RetryIn(delay, format!("the provider: {code}"))))
            }
            Fate::GiveUp(reason) => {
                let failed = attempts::fail(tx, attempt, reason, failure.reason, detail, usage).await?;
                let told = format!("the reply has failed: {}; the provider: {code}", reason.code());
                (failed, if fate::concerns_operators(reason) { Err(JobError::discard(told)) } else { Ok(()) })
            }
        })
    }
}

fn too_long() -> Failure {
    Failure::new(Reason::AnswerTooLong, "the answer is longer than may be stored")
}
