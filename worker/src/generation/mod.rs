//! Receives an answer from the provider, within its time limits.
//!
//! The provider sends pieces of text, which are passed on to a [`Sink`] in order. In between the generation checks whether
//! the answer is still wanted, whether the provider has been silent for too long, and whether the worker is to stop. What an
//! end means is decided by the job that asked.

mod draft;
mod patience;
mod sources;
mod storing;

use std::time::Duration;

use cairn_core::failpoint;
use cairn_core::telemetry::{gen_ai, trace};
use cairn_core::tools::attempts::Usage;
use cairn_core::tools::{Reason, Request};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, Span};

use self::draft::Draft;
use self::patience::{Exceeded, Patience};
pub(crate) use self::sources::find_by_meaning;
pub(crate) use self::storing::patiently;
use crate::Context;
use crate::providers::{Begun, Ended, Failure, History, Permit, Piece, Question, Tokens};
use crate::run::JobError;

/// How often the sink is asked whether the answer is still wanted. A cancellation is noticed within this time.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// How many pieces may wait to be stored. A faster provider has to wait for the database.
const PIECE_BUFFER: usize = 64;

/// How many bytes of thoughts are kept, to estimate what they cost.
const MAX_THOUGHTS: usize = 1024 * 1024;

/// Where the text of an answer goes while it is being written.
pub(crate) trait Sink {
    /// Stores more text. Returns `false` if the answer is no longer wanted.
    fn store(&mut self, text: &str) -> impl Future<Output = cairn_core::Result<bool>> + Send;

    /// Stores more of what the model thinks, like [`Sink::store`]. Not called unless
    /// [`Sink::shows_thinking`] says so.
    fn store_thinking(&mut self, _text: &str) -> impl Future<Output = cairn_core::Result<bool>> + Send {
        async { Ok(true) }
    }

    /// Whether anybody is shown what the model thinks.
    fn shows_thinking(&self) -> bool {
        false
    }

    /// Whether the answer is still wanted.
    fn is_wanted(&self) -> impl Future<Output = cairn_core::Result<bool>> + Send;

    /// Notes that the request is about to be made or was accepted, and how many tokens it has by our count. Returns whether the answer is
    /// still wanted.
    fn asking(&self, prompt_tokens: i32) -> impl Future<Output = cairn_core::Result<bool>> + Send;

    /// Notes the name under which the provider keeps the answer, or that it is of no use any more.
    fn kept(&self, _response_id: Option<&str>) -> impl Future<Output = cairn_core::Result<()>> + Send {
        async { Ok(()) }
    }
}

/// How the generation of an answer ended.
pub(crate) enum End {
    /// The answer is complete.
    Complete(Ended),
    /// There is no answer, or only its beginning.
    Failed(Failure),
    /// The worker was told to stop.
    Interrupted,
    /// The answer is no longer wanted, or another attempt has taken over.
    Lost,
}

impl End {
    /// The name in logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Complete(_) => "completed",
            Self::Failed(failure) => failure.reason.code(),
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
        }
    }
}

/// An answer in progress.
pub(crate) struct Generation<'a, S> {
    context: &'a Context,
    request: &'a Request,
    sink: S,
    permit: Permit,
    draft: Draft,
    /// What the model thinks, as far as it is shown.
    thinking: Draft,
    usage: Usage,
    /// What the model has thought, as far as it was sent.
    thoughts: String,
    /// What the provider has counted.
    counted: Tokens,
    /// What the sink is to note.
    notes: Vec<Note>,
    /// The tokens of the request, if the sink knew of it before it was made.
    asked: Option<i32>,
    /// The name under which the provider keeps the answer.
    kept: Option<String>,
    /// Whether nothing arrives before the answer is complete.
    is_unstreamed: bool,
    /// Tells the collector of the call.
    span: Span,
    started: Instant,
    patience: Patience,
    /// When to check whether the answer is still wanted.
    check_at: Instant,
    /// When to stop because the worker is to stop.
    stop_at: Option<Instant>,
}

/// What is noted as soon as it is known, because the worker may be killed at any time.
enum Note {
    Asking(i32, oneshot::Sender<()>),
    Accepted(i32),
    Kept(Option<String>),
}

impl<'a, S: Sink> Generation<'a, S> {
    /// A generation that begins now: the provider is not answerable for what was done before.
    pub(crate) fn new(context: &'a Context, request: &'a Request, sink: S, permit: Permit) -> Self {
        let started = Instant::now();
        let usage = Usage { model: context.provider.model(request).map(str::to_owned), ..Usage::default() };
        let span = tracing::info_span!("ai_call", otel.kind = trace::kind("client"));
        let call = gen_ai::Call {
            provider: context.provider.format(),
            server: usage.model.is_some().then(|| context.provider.name()),
            model: usage.model.as_deref(),
            max_tokens: request.max_tokens,
            temperature: request.temperature,
        };
        gen_ai::begin(&span, call);
        Self {
            context,
            request,
            sink,
            permit,
            draft: Draft::default(),
            thinking: Draft::default(),
            usage,
            thoughts: String::new(),
            counted: Tokens::default(),
            notes: Vec::new(),
            asked: None,
            kept: None,
            is_unstreamed: false,
            span,
            started,
            patience: Patience::new(context.provider.limits(), started),
            check_at: started + CHECK_INTERVAL,
            stop_at: None,
        }
    }

    /// The text so far.
    pub(crate) fn text(&self) -> &str {
        self.draft.text()
    }

    /// What was used. Complete after [`Generation::conclude`].
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The name under which the provider keeps the answer; `None` if it keeps none that is of use.
    pub(crate) fn kept(&self) -> Option<&str> {
        self.kept.as_deref()
    }

    /// Receives pieces from the provider until there is an end.
    pub(crate) async fn run(&mut self, history: History, begun: Begun) -> Result<End, JobError> {
        let (context, request) = (self.context, self.request);
        let (out, mut pieces) = mpsc::channel(PIECE_BUFFER);
        self.kept.clone_from(&begun.kept);
        let question = Question { request, history, begun, db: Some(&context.db) };
        let generating = context.provider.generate(question, out).instrument(self.span.clone());
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
                        Err(failure) => {
                            let _ = self.note().await?; // whether the provider still keeps the answer
                            End::Failed(self.understood(failure))
                        }
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

    /// Stores the remaining text, records what was used and whether the endpoint works, and returns the end that counts:
    /// [`End::Lost`] if the answer is no longer wanted.
    pub(crate) async fn conclude(&mut self, end: End) -> Result<End, JobError> {
        if matches!(end, End::Complete(_)) {
            failpoint::pass(failpoint::AFTER_EXTERNAL_CALL);
        }
        let _ = self.note().await?; // what is not wanted any more is found out below
        self.record_usage(&end);
        Ok(if self.store_or_check().await? { end } else { End::Lost })
    }

    fn receive(&mut self, piece: Piece) {
        match piece {
            Piece::Unstreamed => {
                self.is_unstreamed = true;
                return self.patience.expect_silence();
            }
            Piece::Asking { prompt_tokens, stored } => return self.notes.push(Note::Asking(prompt_tokens, stored)),
            Piece::Accepted { prompt_tokens } => {
                self.usage.prompt_tokens = Some(prompt_tokens);
                if self.asked.is_none() {
                    self.notes.push(Note::Accepted(prompt_tokens));
                }
                return; // not yet a sign of an answer
            }
            Piece::Kept(response_id) => self.notes.push(Note::Kept(response_id)),
            // The endpoint may still be found not to work: a proxy keeps the line alive as well.
            Piece::Alive => {}
            Piece::Used(tokens) => self.counted.update(tokens),
            Piece::Thoughts(text) => {
                if self.thoughts.len() < MAX_THOUGHTS {
                    self.thoughts.push_str(&text);
                    if self.sink.shows_thinking() {
                        self.thinking.push(&text);
                    }
                }
                self.permit.succeeded();
            }
            Piece::Text(text) => {
                self.usage.first_token.get_or_insert_with(|| self.started.elapsed());
                self.draft.push(&text);
                self.permit.succeeded();
            }
        }
        self.patience.heard(Instant::now(), !self.draft.is_empty());
    }

    /// What a failure means for this answer.
    fn understood(&self, failure: Failure) -> Failure {
        let reason = match failure.reason {
            // A gateway has given up waiting, and the answer may well have been written and billed.
            Reason::Unreachable | Reason::ProviderError
                if self.is_unstreamed && self.started.elapsed() > self.context.provider.limits().first_token / 2 =>
            {
                Reason::TooSlow
            }
            // The answer goes on where it is kept, and is read from there.
            Reason::UnknownEnd if self.kept.is_some() => Reason::BrokenOff,
            reason => reason,
        };
        Failure { reason, ..failure }
    }

    /// When new text or new thoughts are to be stored.
    fn due(&self) -> Option<Instant> {
        [self.draft.due(), self.thinking.due()].into_iter().flatten().min()
    }

    /// When something has to be done even if no piece arrives.
    fn next_check(&self) -> Instant {
        let times = [Some(self.check_at), self.stop_at, self.due()];
        times.into_iter().flatten().fold(self.patience.ends_at(), Instant::min)
    }

    /// Does what is due. Returns `Some` if the generation has ended.
    async fn check(&mut self) -> Result<Option<End>, JobError> {
        let begun = Instant::now();
        if !self.note().await? {
            return Ok(Some(End::Lost));
        }
        if self.draft.is_too_long() {
            return Ok(Some(End::Failed(too_long())));
        }
        let now = Instant::now();
        if self.check_at <= now || self.due().is_some_and(|due| due <= now) {
            self.check_at = now + CHECK_INTERVAL;
            if !self.store_or_check().await? {
                return Ok(Some(End::Lost));
            }
        }
        self.patience.forgive(begun.elapsed());
        let limits = self.context.provider.limits();
        let silence = |what: &str, time: Duration| format!("no data for {} s {what}", time.as_secs_f64());
        let (reason, detail) = match self.patience.exceeded(now) {
            None => return Ok(self.stop_at.filter(|at| *at <= now).map(|_| End::Interrupted)),
            Some(Exceeded::TooSlow) => {
                (Reason::TooSlow, format!("not complete after {} s", limits.total.as_secs_f64()))
            }
            Some(Exceeded::Silent) if self.draft.is_empty() => {
                (Reason::Silent, silence("after the request", limits.first_token))
            }
            Some(Exceeded::Silent) => (Reason::BrokenOff, silence("in the middle of the answer", limits.silence)),
        };
        Ok(Some(End::Failed(Failure::new(reason, detail))))
    }

    /// Has the sink note what is to be noted. Returns `false` if a request is not to be made, because its answer is no longer wanted.
    async fn note(&mut self) -> Result<bool, JobError> {
        for note in self.notes.drain(..) {
            match note {
                Note::Asking(prompt_tokens, stored) => {
                    if !self.sink.asking(prompt_tokens).await? {
                        return Ok(false);
                    }
                    self.asked = Some(prompt_tokens);
                    // The provider is not answerable for how long that took.
                    self.started = Instant::now();
                    self.patience = Patience::new(self.context.provider.limits(), self.started);
                    let _ = stored.send(()); // the provider may have failed meanwhile
                }
                // The answer is worth more than a note of what it costs, which is stored with its end anyway.
                Note::Accepted(prompt_tokens) => {
                    if let Err(error) = self.sink.asking(prompt_tokens).await {
                        tracing::warn!(%error, "it is not noted that a request was accepted");
                    }
                }
                Note::Kept(response_id) => {
                    self.sink.kept(response_id.as_deref()).await?;
                    self.kept = response_id;
                }
            }
        }
        Ok(true)
    }

    /// Stores new thoughts and new text, or checks whether they could be stored. Returns `false` if the answer is no longer wanted.
    async fn store_or_check(&mut self) -> Result<bool, JobError> {
        if self.thinking.due().is_some() {
            let is_wanted = self.sink.store_thinking(self.thinking.new_text()).await?;
            self.thinking.mark_stored();
            if !is_wanted || self.draft.due().is_none() {
                return Ok(is_wanted);
            }
        }
        if self.draft.due().is_none() {
            return Ok(self.sink.is_wanted().await?);
        }
        let is_wanted = self.sink.store(self.draft.new_text()).await?;
        self.draft.mark_stored();
        Ok(is_wanted)
    }

    /// Records what was used, however it ended, and whether the endpoint works.
    fn record_usage(&mut self, end: &End) {
        match end {
            End::Complete(ended) => {
                self.permit.succeeded();
                self.usage.is_cut = ended.is_cut;
            }
            End::Failed(failure) => match endpoint_works(failure.reason) {
                Some(true) => self.permit.succeeded(),
                Some(false) => self.permit.failed(),
                None => {}
            },
            End::Interrupted | End::Lost => {}
        }
        // Some endpoints send nothing before the answer is complete, and bill it although nobody has waited for it.
        let may_be_billed = match end {
            End::Interrupted | End::Lost => true,
            End::Failed(failure) => matches!(failure.reason, Reason::Silent | Reason::TooSlow),
            End::Complete(_) => false,
        };
        self.usage.prompt_tokens = self.usage.prompt_tokens.or(self.asked.filter(|_| may_be_billed));
        self.usage.is_estimate = self.usage.prompt_tokens.is_some() && self.counted.prompt.is_none();
        self.usage.prompt_tokens = self.counted.prompt.or(self.usage.prompt_tokens);
        self.usage.completion_tokens = self.counted.completion;
        self.usage.thinking_tokens = self.counted.thinking;
        self.context.provider.account(&mut self.usage, self.draft.text(), &self.thoughts);
        let ended = gen_ai::Ended {
            is_cut: self.usage.is_cut,
            error: (!matches!(end, End::Complete(_))).then(|| end.name()),
            input_tokens: self.usage.prompt_tokens,
            output_tokens: self.usage.completion_tokens,
        };
        gen_ai::end(&self.span, ended);
        if let Some(metrics) = &self.context.reply_metrics {
            metrics.count(end.name(), &self.usage);
        }
    }
}

fn too_long() -> Failure {
    Failure::new(Reason::AnswerTooLong, "the answer exceeds the maximum length")
}

/// Whether the endpoint works, as far as the failure shows. An endpoint that answers works, whatever the answer is, unless it
/// answers nobody. An answer that takes too long shows nothing: another question may be answered at once, so one learner's
/// slow answer must not make others wait. Neither does a failure that can occur before any call.
const fn endpoint_works(reason: Reason) -> Option<bool> {
    match reason {
        Reason::Unreachable | Reason::ProviderError | Reason::RateLimited => Some(false),
        Reason::Silent
        | Reason::TooSlow
        | Reason::BrokenOff
        | Reason::ContextTooLong
        | Reason::AttemptsExhausted
        | Reason::BudgetExceeded
        | Reason::Interrupted => None,
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_the_endpoint_count_against_it() {
        for reason in [Reason::Unreachable, Reason::ProviderError, Reason::RateLimited] {
            assert_eq!(endpoint_works(reason), Some(false), "{reason:?}");
        }
        for reason in [Reason::Unauthorized, Reason::Refused, Reason::EmptyAnswer, Reason::BadRequest] {
            assert_eq!(endpoint_works(reason), Some(true), "{reason:?}");
        }
        for reason in [Reason::Silent, Reason::TooSlow, Reason::ContextTooLong, Reason::BudgetExceeded] {
            assert_eq!(endpoint_works(reason), None, "{reason:?}");
        }
    }
}
