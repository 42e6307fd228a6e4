//! The providers of answers: the built-in one, or an endpoint that implements one of OpenAI's formats.
//!
//! A provider receives what was recorded when the question was asked and sends the answer piece by piece. It knows nothing
//! about jobs, attempts or readers: whoever asks (`generation`, on behalf of a job) decides how long it may take, when to
//! stop and what a [`Failure`] means.

mod answer;
mod breaker;
pub mod library;
pub mod openai;

use std::time::Duration;

use cairn_core::config::{AiLimits, Config};
use cairn_core::tools::Request;
use cairn_core::tools::attempts::Usage;

pub use self::answer::{Begun, Ended, Failure, History, Out, Piece, Question, Tokens};
pub(crate) use self::breaker::Permit;
pub use self::library::Library;
pub(crate) use self::openai::{Embedded, is_about_a_text, may_be_about_a_text};
pub use self::openai::{Embeddings, OpenAi};

/// A provider of answers.
pub enum Provider {
    /// The built-in one.
    Library(Library),
    /// A configured endpoint.
    OpenAi(Box<OpenAi>),
}

impl Provider {
    /// The configured provider.
    pub fn from_config(config: &Config) -> cairn_core::Result<Self> {
        match &config.ai {
            None => Ok(Self::Library(Library::default())),
            Some(ai) => OpenAi::new(ai)
                .map(|provider| Self::OpenAi(Box::new(provider)))
                .map_err(|error| cairn_core::Error::message(format!("no HTTP client for the AI provider: {error}"))),
        }
    }

    /// Its name, as stored with a reply. The name of an endpoint is its host.
    pub fn name(&self) -> &str {
        match self {
            Self::Library(_) => library::NAME,
            Self::OpenAi(provider) => provider.name(),
        }
    }

    /// The format in which it is called, as traces name it.
    pub(crate) fn format(&self) -> &'static str {
        match self {
            Self::Library(_) => "cairn.library",
            Self::OpenAi(provider) => provider.format(),
        }
    }

    /// How long an answer may take.
    pub fn limits(&self) -> AiLimits {
        match self {
            Self::Library(_) => AiLimits::default(),
            Self::OpenAi(provider) => provider.limits(),
        }
    }

    /// The model used for a request.
    pub fn model<'a>(&'a self, request: &'a Request) -> Option<&'a str> {
        match self {
            Self::Library(_) => None,
            Self::OpenAi(provider) => Some(provider.model(request)),
        }
    }

    /// How many characters of earlier messages it can use.
    pub fn history_chars(&self) -> i64 {
        match self {
            Self::Library(_) => 0,
            Self::OpenAi(provider) => provider.history_chars(),
        }
    }

    /// Permission to call it; `Err` holds the time to wait first.
    pub(crate) fn admit(&self) -> Result<Permit, Duration> {
        match self {
            Self::Library(_) => Ok(Permit::default()),
            Self::OpenAi(provider) => provider.admit(),
        }
    }

    /// Generates an answer, sends its pieces in order, and returns when it is complete.
    pub async fn generate(&self, question: Question<'_>, out: Out) -> Result<Ended, Failure> {
        match self {
            Self::Library(library) => Ok(library.generate(question.request, out).await),
            Self::OpenAi(provider) => provider.generate(question, out).await,
        }
    }

    /// Has it stop writing an answer that it keeps and that nobody wants any more. Whether it does is not known.
    pub async fn abandon(&self, response_id: &str) {
        if let Self::OpenAi(provider) = self {
            provider.abandon(response_id).await;
        }
    }

    /// Whether it can be used, checked without asking a question. `Ok(Some(false))` means that it does not list the configured
    /// model, `Ok(None)` that it lists no models at all. The built-in provider can always be used.
    pub async fn check(&self) -> Result<Option<bool>, Failure> {
        match self {
            Self::Library(_) => Ok(Some(true)),
            Self::OpenAi(provider) => provider.offers_model().await,
        }
    }

    /// Fills in what the provider did not report: the number of tokens of `text` and `thoughts`, and the cost of the attempt.
    pub fn account(&self, usage: &mut Usage, text: &str, thoughts: &str) {
        if let Self::OpenAi(provider) = self {
            provider.account(usage, text, thoughts);
        }
    }
}
