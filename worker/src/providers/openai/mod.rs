//! Any endpoint that implements OpenAI's chat-completions format: OpenAI, OpenRouter, vLLM, Ollama, llama.cpp's server.
//!
//! It is implemented with `reqwest` and `sse-stream`, and reads the few fields that matter leniently. The maintained client
//! library `async-openai` (0.43) is unsuitable: it reads error and answer bodies of any size, drops the headers of an error
//! (and with them `Retry-After`), rejects numeric error codes (OpenRouter, vLLM, llama.cpp) and fields of unexpected types,
//! logs whole bodies, and reads streams in a separate task into an unbounded channel, through a parser that panics at a byte
//! order mark.

mod errors;
mod prompt;
mod refusal;
mod stream;

use std::time::Duration;

use cairn_core::config::{AiConfig, AiLimits};
use cairn_core::tools::attempts::Usage;
use cairn_core::tools::{Reason, Request};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};

use self::errors::{chain, without_key};
use self::prompt::Prompt;
use super::answer::{Ended, Failure, History, Out, Piece};
use super::breaker::{Breaker, Permit};

/// The most characters that a token stands for in any reasonable text.
const MAX_CHARS_PER_TOKEN: usize = 8;

/// An endpoint.
pub struct OpenAi {
    http: Client,
    config: AiConfig,
    host: String,
    breaker: Breaker,
}

impl OpenAi {
    /// Creates a client, without calling the endpoint.
    pub fn new(config: &AiConfig) -> reqwest::Result<Self> {
        // Fails if a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Client::builder()
            .connect_timeout(config.limits.connect)
            // Only the configuration decides where answers come from.
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")));
        let (scheme, rest) = config.base_url.split_once("://").unwrap_or_default();
        if scheme == "http" {
            // A private host must be reached directly, never through a proxy.
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

    pub(super) fn model<'a>(&'a self, request: &'a Request) -> &'a str {
        request.model.as_deref().unwrap_or(&self.config.model)
    }

    pub(super) fn history_chars(&self) -> i64 {
        i64::try_from(self.config.context_tokens * MAX_CHARS_PER_TOKEN).unwrap_or(i64::MAX)
    }

    pub(super) fn admit(&self) -> Result<Permit, Duration> {
        self.breaker.admit()
    }

    pub(super) async fn generate(&self, request: &Request, history: History, out: Out) -> Result<Ended, Failure> {
        let prompt = prompt::build(request, history, self.config.context_tokens).await?;
        let response = self.send(request, &prompt).await?;
        let is_stream = mime(&response).starts_with("text/event-stream");
        if !response.status().is_success() {
            return Err(refusal::read(response, self.config.api_key.as_ref()).await);
        }
        let accepted = Piece::Accepted { prompt_tokens: prompt.tokens };
        let ended = if out.send(accepted).await.is_err() {
            Ok(Ended::default()) // the receiver is gone
        } else if is_stream {
            stream::read(response, &out).await
        } else {
            stream::read_whole(response, &out).await
        };
        ended.map_err(|failure| without_key(failure, self.config.api_key.as_ref()))
    }

    /// Lists the models, which is free, to find out whether the endpoint answers, accepts the key and offers the configured
    /// model. `Ok(None)` means that it has no list.
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

    async fn send(&self, request: &Request, prompt: &Prompt) -> Result<Response, Failure> {
        let url = format!("{}/chat/completions", self.config.base_url);
        let mut call = self.http.post(url).header(ACCEPT, "text/event-stream").json(&self.body(request, prompt));
        if let Some(key) = &self.config.api_key {
            call = call.bearer_auth(key.expose());
        }
        call.send().await.map_err(unreachable)
    }

    fn body(&self, request: &Request, prompt: &Prompt) -> Value {
        let mut body = json!({
            "model": self.model(request),
            "messages": prompt.messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        // OpenAI's newer models reject the name that all others use.
        let limit = if self.host == "api.openai.com" { "max_completion_tokens" } else { "max_tokens" };
        body[limit] = json!(request.max_tokens);
        if let Some(temperature) = request.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    pub(super) fn account(&self, usage: &mut Usage, text: &str) {
        if usage.prompt_tokens.is_none() {
            return; // the request was not accepted, so it is not billed
        }
        let completion = *usage.completion_tokens.get_or_insert_with(|| prompt::count(text));
        let price = usage.model.as_deref().and_then(|model| self.config.prices.get(model));
        usage.cost_micros = price.map(|price| {
            let tokens = |n: i32| f64::from(n.max(0));
            let micros = tokens(usage.prompt_tokens.unwrap_or(0)) * price.input + tokens(completion) * price.output;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "prices and token counts are far too small to overflow"
            )]
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
