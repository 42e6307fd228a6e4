//! Any endpoint that implements one of OpenAI's formats: OpenAI, Azure, OpenRouter, vLLM, Ollama, llama.cpp's server and many
//! others. `docs/AI.md` lists what is understood of each.
//!
//! | part | what it does |
//! |---|---|
//! | `dialect` | what differs between the formats: `chat`, `azure`, `responses` |
//! | `frames` | splits a body into events |
//! | `reading` | collects what the events say until the answer is complete |
//! | `thinking` | keeps apart what a model thinks and what it answers |
//! | `refusal` | what errors mean: `details`, `hints`, `wordings` |
//! | `embeddings` | turns texts into vectors |
//! | `adjustments` | how a model wants to be asked, as learnt from what it refuses |
//!
//! It is implemented with `reqwest`, and reads the few fields that matter leniently. The maintained client library
//! `async-openai` (0.43) is unsuitable: it reads error and answer bodies of any size, drops the headers of an error
//! (and with them `Retry-After`), rejects numeric error codes (OpenRouter, vLLM, llama.cpp) and fields of unexpected types,
//! logs whole bodies, and reads streams in a separate task into an unbounded channel, through a parser that panics at a byte
//! order mark.

mod adjustments;
mod azure;
mod chat;
mod content;
mod details;
mod dialect;
mod embeddings;
mod errors;
mod frames;
mod hints;
mod prompt;
mod reading;
mod redact;
mod refusal;
mod responses;
mod said;
mod stream;
mod thinking;
mod wordings;

use std::time::Duration;

use cairn_core::config::{Adjustment, AiApi, AiConfig, AiLimits};
use cairn_core::db::Db;
use cairn_core::tools::attempts::Usage;
use cairn_core::tools::{Reason, Request};
use reqwest::header::ACCEPT;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::sync::oneshot;

use self::adjustments::Memory;
use self::azure::Azure;
use self::chat::Chat;
use self::dialect::{Asking, Dialect};
pub use self::embeddings::Embeddings;
pub(crate) use self::embeddings::{Embedded, is_about_a_text, may_be_about_a_text};
use self::errors::chain;
use self::prompt::Prompt;
use self::refusal::Refusal;
use self::responses::Responses;
use self::stream::Body;
use super::answer::{Ended, Failure, History, Out, Piece, Question};
use super::breaker::{Breaker, Permit};
use crate::http;

/// The most characters that a token stands for in any reasonable text.
const MAX_CHARS_PER_TOKEN: usize = 8;

/// Most bytes of an answer that the provider keeps.
const MAX_KEPT: usize = 4 * 1024 * 1024;

/// Between two looks at an answer that the provider writes in the background.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Most bytes of a list of models.
const MAX_LIST: usize = 4 * 1024 * 1024;

/// An endpoint.
pub struct OpenAi {
    http: Client,
    config: AiConfig,
    dialect: Box<dyn Dialect>,
    host: String,
    breaker: Breaker,
    memory: Memory,
}

/// The configured dialect. It is never guessed from the name of a host.
fn configured(config: &AiConfig) -> Box<dyn Dialect> {
    let base_url = config.base_url.clone();
    match &config.api {
        AiApi::Chat => Box::new(Chat { base_url }),
        AiApi::Azure { version } => Box::new(Azure { base_url, version: version.clone() }),
        AiApi::Responses { is_background } => Box::new(Responses { base_url, is_background: *is_background }),
    }
}

impl OpenAi {
    /// Creates a client, without calling the endpoint.
    pub fn new(config: &AiConfig) -> reqwest::Result<Self> {
        let http = http::client(&config.base_url)
            .connect_timeout(config.limits.connect)
            .pool_idle_timeout(Duration::from_secs(30));
        let (_, rest) = config.base_url.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        let memory = Memory::new(config.base_url.clone(), config.adjustments.clone());
        let (dialect, breaker) = (configured(config), Breaker::new("the AI provider"));
        Ok(Self { http: http.build()?, config: config.clone(), dialect, host, breaker, memory })
    }

    pub(super) fn name(&self) -> &str {
        &self.host
    }

    /// As OpenTelemetry's conventions name it: who speaks OpenAI's format is OpenAI, unless it is known better.
    pub(super) fn format(&self) -> &'static str {
        match self.config.api {
            AiApi::Azure { .. } => "azure.ai.openai",
            AiApi::Chat | AiApi::Responses { .. } => "openai",
        }
    }

    pub(super) fn limits(&self) -> AiLimits {
        self.config.limits
    }

    pub(super) fn model<'a>(&'a self, request: &'a Request) -> &'a str {
        request.model.as_deref().unwrap_or(&self.config.model)
    }

    pub(super) fn history_chars(&self) -> i64 {
        i64::try_from(self.config.context_tokens * MAX_CHARS_PER_TOKEN).unwrap_or(i64::MAX)
    }

    pub(super) fn admit(&self) -> Result<Permit, Duration> {
        self.breaker.admit()
    }

    pub(super) async fn generate(&self, question: Question<'_>, out: Out) -> Result<Ended, Failure> {
        let Question { request, history, begun, db } = question;
        let model = self.model(request);
        // Whoever has waited for another one's turn knows what that one has learnt.
        let mut turn = self.memory.turn(model).await;
        let mut asking = Asking {
            model,
            prompt: prompt::build(request, history, self.config.context_tokens).await?,
            temperature: request.temperature,
            max_tokens: request.max_tokens,
            adjustments: self.memory.recall(db, model).await,
        };
        let mut kept = self.kept(begun.kept.as_deref(), &out).await?;
        let mut is_read_again = false;
        let mut made = Vec::new();
        loop {
            let body = match kept.take() {
                Some(body) => body,
                None => match self.ask(&mut asking, begun.key.as_deref(), db, &out).await {
                    Err(failure) if failure.reason == Reason::ContextTooLong && asking.prompt.has_history() => {
                        asking.prompt = self.without_history(request).await?;
                        continue;
                    }
                    asked => Body::Arriving(asked?),
                },
            };
            if out.send(Piece::Accepted { prompt_tokens: asking.prompt.tokens }).await.is_err() {
                return Ok(Ended::default()); // the receiver is gone
            }
            let thinks_first = asking.has(Adjustment::ThinksFirst);
            let (ended, shown) = stream::read(body, self.dialect.as_ref(), thinks_first, &mut turn, &out).await;
            self.memory.learn(db, model, shown.learnt.as_slice()).await;
            let failure = match (ended, shown.kept) {
                // It is written in the background, and was not sent.
                (Err(failure), Some(name)) if failure.reason == Reason::UnknownEnd && !is_read_again => {
                    (kept, is_read_again) = (self.kept(Some(&name), &out).await?, true);
                    if kept.is_some() {
                        continue;
                    }
                    failure // another request is another attempt, so that each is counted
                }
                (Err(failure), _) => failure,
                (Ok(ended), _) => {
                    self.memory.learn(db, model, &made).await;
                    return Ok(ended);
                }
            };
            // Some endpoints accept every request, and refuse it in place of the answer.
            let adjustment = shown.refused.as_ref().and_then(|refusal| self.adjust(&mut asking, refusal));
            if let Some(adjustment) = adjustment {
                made.push(adjustment);
            } else if failure.reason == Reason::ContextTooLong && shown.refused.is_some() && asking.prompt.has_history()
            {
                asking.prompt = self.without_history(request).await?;
            } else {
                if shown.refused.is_some() {
                    made.pop(); // what was done differently at last was refused as well
                }
                self.memory.learn(db, model, &made).await;
                let detail = refusal::detail(&failure.detail, self.config.api_key.as_ref());
                return Err(Failure { detail, ..failure });
            }
        }
    }

    /// The model takes less than is configured. The learner can shorten the question, but not the conversation.
    async fn without_history(&self, request: &Request) -> Result<Prompt, Failure> {
        prompt::build(request, History::new(), self.config.context_tokens).await
    }

    /// Asks differently from now on, if a refusal says how. Returns what is different.
    fn adjust(&self, asking: &mut Asking<'_>, refusal: &Refusal) -> Option<Adjustment> {
        adjustments::from_refusal(refusal, &self.dialect.body(asking))
            .filter(|adjustment| self.memory.allows(asking.model, *adjustment))
            .filter(|adjustment| asking.adjustments.add(*adjustment))
    }

    /// Asks, and asks differently if a refusal says how. What was accepted then is remembered.
    async fn ask(
        &self,
        asking: &mut Asking<'_>,
        key: Option<&str>,
        db: Option<&Db>,
        out: &Out,
    ) -> Result<Response, Failure> {
        let mut made = Vec::new();
        let mut is_noted = false;
        loop {
            // Who asks again with the same key goes on with the answer, and counts it.
            let goes_on = self.dialect.body(asking)["background"] == true && key.is_some();
            if !goes_on && !is_noted {
                let (stored, was_stored) = oneshot::channel();
                let _ = out.send(Piece::Asking { prompt_tokens: asking.prompt.tokens, stored }).await;
                let _ = was_stored.await; // the end is noticed later if the receiver is gone
                is_noted = true;
            }
            if !asking.is_streamed() {
                let _ = out.send(Piece::Unstreamed).await; // the end is noticed below if the receiver is gone
            }
            let body = self.dialect.body(asking);
            let mut call = self.http.post(self.dialect.url(asking.model)).json(&body);
            if body["background"] == true
                && let Some(key) = key
            {
                call = call.header("idempotency-key", key);
            }
            let response = self.send(call).await?;
            if response.status().is_success() {
                self.memory.learn(db, asking.model, &made).await;
                return Ok(response);
            }
            let refusal = refusal::read(response, self.config.api_key.as_ref()).await;
            let Some(adjustment) = self.adjust(asking, &refusal) else {
                // All but the last one were accepted, because the refusals after them were about something else.
                made.pop();
                self.memory.learn(db, asking.model, &made).await;
                return Err(refusal.failure);
            };
            made.push(adjustment);
        }
    }

    /// Reads an answer again that the provider keeps. `None` if there is none, or it is not kept any more.
    async fn kept(&self, response_id: Option<&str>, out: &Out) -> Result<Option<Body>, Failure> {
        let Some(response_id) = response_id else { return Ok(None) };
        if let Some(url) = self.dialect.kept_url(response_id) {
            let response = self.send(self.http.get(format!("{url}?stream=true"))).await?;
            let arriving = match response.status().as_u16() {
                200..=299 => stream::is_event_stream(&response).then_some(Body::Arriving(response)),
                // It was not begun as a stream, or too long ago.
                400 => None,
                404 | 410 => return self.forget(out).await,
                _ => return Err(refusal::read(response, self.config.api_key.as_ref()).await.failure),
            };
            let body = match arriving {
                Some(body) => Some(body),
                None => self.written(&url, out).await?.map(Body::Whole),
            };
            if body.is_some() {
                return Ok(body);
            }
        }
        self.forget(out).await
    }

    /// Notes that the provider does not keep the answer.
    async fn forget(&self, out: &Out) -> Result<Option<Body>, Failure> {
        let _ = out.send(Piece::Kept(None)).await; // the end is noticed later if the receiver is gone
        Ok(None)
    }

    /// Waits until an answer that the provider keeps is written. `None` if it is not kept any more.
    async fn written(&self, url: &str, out: &Out) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let response = self.send(self.http.get(url)).await?;
            if !response.status().is_success() {
                let refusal = refusal::read(response, self.config.api_key.as_ref()).await;
                return if matches!(refusal.status, 400 | 404 | 410) { Ok(None) } else { Err(refusal.failure) };
            }
            let body = stream::whole(response, MAX_KEPT).await?;
            let status = serde_json::from_slice::<Value>(&body).unwrap_or_default()["status"].take();
            if status != "queued" && status != "in_progress" {
                return Ok(Some(body));
            }
            if out.send(Piece::Alive).await.is_err() {
                return Err(Failure::new(Reason::BrokenOff, "nobody waits for the answer"));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Has the provider stop writing an answer that it keeps.
    pub(super) async fn abandon(&self, response_id: &str) {
        let Some(url) = self.dialect.kept_url(response_id) else { return };
        let request = self.http.post(format!("{url}/cancel")).timeout(self.config.limits.connect);
        if let Err(failure) = self.send(request).await {
            tracing::debug!(reason = failure.reason.code(), "an answer that nobody wants could not be stopped");
        }
    }

    /// Lists the models, which is free, to find out whether the endpoint answers, accepts the key and offers the configured
    /// model. `Ok(None)` means that it has no list, or one that says nothing about this.
    pub(super) async fn offers_model(&self) -> Result<Option<bool>, Failure> {
        let request = self.http.get(self.dialect.models_url()).timeout(self.config.limits.first_token);
        let response = self.send(request).await?;
        if !response.status().is_success() {
            let failure = refusal::read(response, self.config.api_key.as_ref()).await.failure;
            return if failure.reason == Reason::ModelNotFound { Ok(None) } else { Err(failure) };
        }
        if matches!(self.config.api, AiApi::Azure { .. }) {
            return Ok(None); // it lists models, and is asked for deployments
        }
        let Ok(list) = serde_json::from_slice::<Value>(&stream::whole(response, MAX_LIST).await?) else {
            return Ok(None);
        };
        let models = list["data"].as_array();
        Ok(models.map(|models| models.iter().any(|model| model["id"] == self.config.model.as_str())))
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Response, Failure> {
        if let Some(key) = &self.config.api_key {
            request = self.dialect.authorize(request, key);
        }
        let sent = request.header(ACCEPT, "text/event-stream, application/json").send().await;
        sent.map_err(|error| Failure::new(Reason::Unreachable, chain(&error.without_url())))
    }

    /// Fills in what the provider did not say. `thoughts` is what the model has thought, as far as it was sent.
    pub(super) fn account(&self, usage: &mut Usage, text: &str, thoughts: &str) {
        if usage.prompt_tokens.is_none() {
            return; // the request was not accepted, so it is not billed
        }
        if usage.completion_tokens.is_none() {
            usage.is_estimate = true;
            usage.completion_tokens = Some(prompt::count(text).saturating_add(prompt::count(thoughts)));
        }
        let price = usage.model.as_deref().and_then(|model| self.config.prices.get(model));
        usage.cost_micros = price.map(|price| {
            let tokens = |n: Option<i32>| f64::from(n.unwrap_or(0).max(0));
            let micros = tokens(usage.prompt_tokens) * price.input + tokens(usage.completion_tokens) * price.output;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "prices and token counts are far too small to overflow"
            )]
            let micros = micros.round() as i64;
            micros
        });
    }
}
