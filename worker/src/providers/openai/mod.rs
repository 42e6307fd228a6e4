//! Any endpoint that speaks OpenAI's chat-completions format: OpenAI, OpenRouter, vLLM, Ollama, llama.cpp's server.
//!
//! The format is used through `reqwest`, `sse-stream` and the few fields that matter, read leniently. `async-openai`
//! 0.43, the client library that is kept, cannot be used for it: it reads error and answer bodies of any size, drops the
//! headers of an error (and so `Retry-After`), refuses error codes that are numbers (OpenRouter, vLLM, llama.cpp) and
//! fields it does not know the type of, writes whole bodies into the log, and reads streams in a task of its own into an
//! unbounded channel, through a parser that panics at a byte order mark.

mod prompt;
mod refusal;
mod stream;

use std::time::Duration;

use cairn_core::config::{AiConfig, AiLimits, Secret};
use cairn_core::tools::Reason;
use cairn_core::tools::attempts::{Attempt, Usage};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};

use self::prompt::Prompt;
use super::breaker::{Breaker, Permit};
use super::{Ended, Failure, History, Out, Piece};

/// Characters a token stands for at most, in any text worth reading.
const CHARS_PER_TOKEN: usize = 8;

/// An endpoint.
pub struct OpenAi {
    http: Client,
    config: AiConfig,
    host: String,
    breaker: Breaker,
}

impl OpenAi {
    /// An endpoint, not yet called.
    pub fn new(config: &AiConfig) -> reqwest::Result<Self> {
        // A second call finds the provider installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Client::builder()
            .connect_timeout(config.limits.connect)
            // Where answers come from is configured, and nothing else decides it.
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")));
        let (scheme, rest) = config.base_url.split_once("://").unwrap_or_default();
        if scheme == "http" {
            // A private host is reached directly, or not at all.
            http = http.no_proxy();
        }
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        Ok(Self { http: http.build()?, config: config.clone(), host, breaker: Breaker::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.host
    }

    pub(super) fn limits(&self) -> AiLimits {
        self.config.limits
    }

    pub(super) fn model<'a>(&'a self, attempt: &'a Attempt) -> &'a str {
        attempt.model.as_deref().unwrap_or(&self.config.model)
    }

    pub(super) fn history_chars(&self) -> i64 {
        i64::try_from(self.config.context_tokens * CHARS_PER_TOKEN).unwrap_or(i64::MAX)
    }

    pub(super) fn admit(&self) -> Result<Permit, Duration> {
        self.breaker.admit()
    }

    pub(super) async fn generate(&self, attempt: &Attempt, history: History, out: Out) -> Result<Ended, Failure> {
        let prompt = prompt::build(attempt, history, self.config.context_tokens).await?;
        let response = self.send(attempt, &prompt).await?;
        let is_stream = mime(&response).starts_with("text/event-stream");
        if !response.status().is_success() {
            return Err(refusal::read(response, self.config.api_key.as_ref()).await);
        }
        let accepted = Piece::Accepted { prompt_tokens: prompt.tokens };
        let ended = if out.send(accepted).await.is_err() {
            Ok(Ended::default()) // nobody listens any more
        } else if is_stream {
            stream::read(response, &out).await
        } else {
            stream::read_whole(response, &out).await
        };
        ended.map_err(|failure| without_key(failure, self.config.api_key.as_ref()))
    }

    /// Asks which models there are, which costs nothing: whether the endpoint answers, accepts the key and offers the
    /// configured model. `Ok(None)` = it answers, and has no list.
    pub(super) async fn offers_model(&self) -> Result<Option<bool>, Failure> {
        let mut request =
            self.http.get(format!("{}/models", self.config.base_url)).timeout(self.config.limits.first_token);
        if let Some(key) = &self.config.api_key {
            request = request.bearer_auth(key.expose());
        }
        let response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            let failure = refusal::read(response, self.config.api_key.as_ref()).await;
            return if failure.reason == Reason::ModelNotFound { Ok(None) } else { Err(failure) };
        }
        let Ok(list) = serde_json::from_slice::<Value>(&stream::body(response).await?) else { return Ok(None) };
        let models = list["data"].as_array();
        Ok(models.map(|models| models.iter().any(|model| model["id"] == self.config.model.as_str())))
    }

    async fn send(&self, attempt: &Attempt, prompt: &Prompt) -> Result<Response, Failure> {
        let url = format!("{}/chat/completions", self.config.base_url);
        let mut request = self.http.post(url).header(ACCEPT, "text/event-stream").json(&self.body(attempt, prompt));
        if let Some(key) = &self.config.api_key {
            request = request.bearer_auth(key.expose());
        }
        request.send().await.map_err(unreachable)
    }

    fn body(&self, attempt: &Attempt, prompt: &Prompt) -> Value {
        let mut body = json!({
            "model": self.model(attempt),
            "messages": prompt.messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        // OpenAI's newer models refuse the name that all the others know.
        let limit = if self.host == "api.openai.com" { "max_completion_tokens" } else { "max_tokens" };
        body[limit] = json!(attempt.max_tokens);
        if let Some(temperature) = attempt.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    pub(super) fn account(&self, usage: &mut Usage, text: &str) {
        if usage.prompt_tokens.is_none() {
            return; // it was not taken, so it is not paid for
        }
        let completion = *usage.completion_tokens.get_or_insert_with(|| prompt::count(text));
        let price = usage.model.as_deref().and_then(|model| self.config.prices.get(model));
        usage.cost_micros = price.map(|price| {
            let tokens = |n: i32| f64::from(n.max(0));
            let micros = tokens(usage.prompt_tokens.unwrap_or(0)) * price.input + tokens(completion) * price.output;
            #[expect(clippy::cast_possible_truncation, reason = "prices and tokens are bounded far below")]
            let micros = micros.round() as i64;
            micros
        });
    }
}

fn unreachable(error: reqwest::Error) -> Failure {
    Failure::new(Reason::Unreachable, chain(&error.without_url()))
}

fn mime(response: &Response) -> &str {
    response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Providers quote the key in their errors.
fn without_key(mut failure: Failure, key: Option<&Secret>) -> Failure {
    if let Some(key) = key {
        failure.detail = failure.detail.replace(key.expose(), "[redacted]");
    }
    failure
}
