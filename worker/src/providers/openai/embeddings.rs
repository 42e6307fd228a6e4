//! Turns texts into vectors, by any endpoint with OpenAI's format of embeddings.

use std::time::Duration;

use cairn_core::config::EmbeddingsConfig;
use cairn_core::library::embeddings::Embedding;
use cairn_core::tools::Reason;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;

use super::super::answer::Failure;
use super::super::breaker::{Breaker, Permit};
use super::errors::chain;
use super::{refusal, stream};
use crate::http;

/// How long the vector of a question may take. The learner is waiting for the answer.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);

/// How long the vectors of passages may take.
const PASSAGES_LIMIT: Duration = Duration::from_secs(10);

/// Most bytes of a response: 64 vectors of 4096 dimensions.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// How much of a question is sent, in characters. The models take some hundred tokens.
const MAX_QUESTION: usize = 2000;

/// A text that is refused is shortened by half, but not to less than this, in characters.
const SHORTEST: usize = 200;

/// An endpoint.
pub struct Embeddings {
    http: Client,
    config: EmbeddingsConfig,
    breaker: Breaker,
}

/// What an endpoint answers.
#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
}

/// Vectors, and what they cost.
#[derive(Debug, Default)]
pub(crate) struct Embedded {
    /// The vectors in the order of the texts; `None` for a text that the model does not take.
    pub(crate) vectors: Vec<Option<Embedding>>,
    /// The tokens, as the endpoint counts them.
    pub(crate) tokens: u64,
}

impl Embeddings {
    /// Creates a client, without calling the endpoint.
    pub fn new(config: &EmbeddingsConfig) -> reqwest::Result<Self> {
        let http = http::client(&config.base_url)
            .connect_timeout(Duration::from_secs(3))
            .pool_idle_timeout(Duration::from_secs(30));
        Ok(Self { http: http.build()?, config: config.clone(), breaker: Breaker::new("the endpoint for embeddings") })
    }

    /// The name of its vectors.
    pub(crate) fn vector_name(&self) -> String {
        self.config.vector_name()
    }

    /// Permission to call it; `Err` holds the time to wait first.
    pub(crate) fn admit(&self) -> Result<Permit, Duration> {
        self.breaker.admit()
    }

    /// Asks for the vector of one word, which costs next to nothing, to find out whether the endpoint can be used. Returns how many
    /// dimensions its vectors have.
    pub async fn check(&self) -> Result<usize, Failure> {
        let embedded = self.question("text").await?;
        Ok(embedded.vectors.first().and_then(Option::as_ref).map_or(0, |vector| vector.dimensions().len()))
    }

    /// The vector of a question.
    pub(crate) async fn question(&self, text: &str) -> Result<Embedded, Failure> {
        let text: String = text.chars().take(MAX_QUESTION).collect();
        self.one(prefixed(&self.config.query_prefix, &text), QUESTION_LIMIT).await
    }

    /// The vectors of passages. If one of several is refused, all are; by itself it gets no vector, unless the endpoint refuses
    /// whatever it is asked. The same goes for one with which the endpoint fails.
    pub(crate) async fn passages(&self, texts: &[&str]) -> Result<Embedded, Failure> {
        let texts: Vec<String> = texts.iter().map(|text| prefixed(&self.config.passage_prefix, text)).collect();
        let [text] = &texts[..] else { return self.ask(&texts, PASSAGES_LIMIT).await };
        match self.one(text.clone(), PASSAGES_LIMIT).await {
            Err(failure) if may_be_about_a_text(&failure) => match self.one("text".to_owned(), QUESTION_LIMIT).await {
                Ok(Embedded { tokens, .. }) => Ok(Embedded { vectors: vec![None], tokens }),
                Err(_) => Err(failure),
            },
            result => result,
        }
    }

    /// The vector of a text, or of its beginning if the whole is too long, within a limit for all requests together.
    async fn one(&self, mut text: String, limit: Duration) -> Result<Embedded, Failure> {
        let shortened = async {
            loop {
                let result = self.ask(std::slice::from_ref(&text), limit).await;
                let length = text.chars().count() / 2;
                match result {
                    Err(failure) if is_about_a_text(&failure) && length >= SHORTEST => {
                        text = text.chars().take(length).collect();
                    }
                    result => return result,
                }
            }
        };
        let too_slow = || Failure::new(Reason::TooSlow, format!("no vector after {} s", limit.as_secs()));
        tokio::time::timeout(limit, shortened).await.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn ask(&self, texts: &[String], limit: Duration) -> Result<Embedded, Failure> {
        let body = json!({ "model": self.config.model, "input": texts });
        let mut request = self.http.post(format!("{}/embeddings", self.config.base_url)).timeout(limit).json(&body);
        if let Some(key) = &self.config.api_key {
            request = request.bearer_auth(key.expose());
        }
        let sent = request.send().await;
        let response = sent.map_err(|error| {
            let is_slow = error.is_timeout() && !error.is_connect();
            let reason = if is_slow { Reason::TooSlow } else { Reason::Unreachable };
            Failure::new(reason, chain(&error.without_url()))
        })?;
        if !response.status().is_success() {
            return Err(refusal::read(response, self.config.api_key.as_ref()).await.failure);
        }
        let body = stream::whole(response, MAX_BODY).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| malformed(&error.to_string()))?;
        vectors(answer, texts.len())
    }
}

/// Whether a failure is about what was sent, so that another text may be accepted.
pub(crate) fn is_about_a_text(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::ContextTooLong | Reason::BadRequest | Reason::ContentFilter)
}

/// Whether a failure may be about what was sent, though it looks like one of the endpoint.
pub(crate) fn may_be_about_a_text(failure: &Failure) -> bool {
    is_about_a_text(failure) || matches!(failure.reason, Reason::ProviderError | Reason::Malformed)
}

fn prefixed(prefix: &str, text: &str) -> String {
    if prefix.is_empty() { text.to_owned() } else { format!("{prefix} {text}") }
}

fn malformed(what: &str) -> Failure {
    Failure::new(Reason::Malformed, format!("the answer cannot be read: {what}"))
}

/// The vectors of an answer to `count` texts, in their order.
fn vectors(answer: Answer, count: usize) -> Result<Embedded, Failure> {
    let mut vectors = vec![None; count];
    let dimensions = answer.data.first().map(|item| item.embedding.len());
    for (place, item) in answer.data.iter().enumerate() {
        let slot = vectors.get_mut(item.index.unwrap_or(place)).ok_or_else(|| malformed("it has too many vectors"))?;
        if Some(item.embedding.len()) != dimensions {
            return Err(malformed("its vectors differ in length"));
        }
        *slot = Some(Embedding::of(&item.embedding).ok_or_else(|| malformed("a vector has no direction"))?);
    }
    if vectors.iter().any(Option::is_none) {
        return Err(malformed("a text has no vector"));
    }
    let usage = answer.usage.unwrap_or_default();
    Ok(Embedded { vectors, tokens: usage.prompt_tokens.or(usage.total_tokens).unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &serde_json::Value, count: usize) -> Result<Embedded, Failure> {
        vectors(serde_json::from_value(body.clone()).map_err(|error| malformed(&error.to_string()))?, count)
    }

    #[test]
    fn vectors_are_read_in_the_order_of_the_texts() {
        let body = json!({"object": "list", "data": [
            {"object": "embedding", "index": 1, "embedding": [0.0, 1.0]},
            {"object": "embedding", "index": 0, "embedding": [1, 0]},
        ], "usage": {"prompt_tokens": 7, "total_tokens": 7}});
        let embedded = read(&body, 2).unwrap();
        let dimensions: Vec<_> =
            embedded.vectors.iter().map(|vector| vector.as_ref().unwrap().dimensions().to_vec()).collect();
        assert_eq!((dimensions, embedded.tokens), (vec![vec![127, 0], vec![0, 127]], 7));
        let without_index = json!({"data": [{"embedding": [1.0]}, {"embedding": [-1.0]}]});
        assert_eq!(read(&without_index, 2).unwrap().vectors[1].as_ref().unwrap().dimensions(), [-127]);
    }

    #[test]
    fn answers_that_leave_a_text_without_a_vector_are_refused() {
        for body in [
            json!({}),
            json!({"data": []}),
            json!({"data": [{"embedding": [1.0]}]}),
            json!({"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}),
            json!({"data": [{"index": 0, "embedding": [1.0]}, {"index": 7, "embedding": [1.0]}]}),
            json!({"data": [{"embedding": [1.0]}, {"embedding": [1.0, 0.0]}]}),
            json!({"data": [{"embedding": [1.0]}, {"embedding": [0.0]}]}),
            json!({"data": [{"embedding": [1.0]}, {"embedding": "AAAAPw=="}]}),
            json!({"data": [{"embedding": [1.0]}, {"embedding": [1e300]}]}),
        ] {
            assert_eq!(read(&body, 2).unwrap_err().reason, Reason::Malformed, "{body}");
        }
    }
}
