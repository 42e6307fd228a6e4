//! The providers of answers: the built-in one, or an endpoint that implements OpenAI's chat-completions format.
//!
//! A provider receives what was recorded when the question was asked and sends the answer piece by piece. It knows nothing
//! about jobs, attempts or readers: the job (`jobs/generate_reply`) decides how long it may take, when to stop and what a
//! [`Failure`] means for the reply.

mod breaker;
pub mod library;
pub mod openai;

use std::time::Duration;

use cairn_core::config::{AiLimits, Config};
use cairn_core::tools::Reason;
use cairn_core::tools::attempts::{Attempt, Usage};
use cairn_core::tools::messages::Author;
use tokio::sync::mpsc;

pub(crate) use self::breaker::Permit;
pub use self::library::Library;
pub use self::openai::OpenAi;

/// A provider of answers.
pub enum Provider {
    /// The built-in one.
    Library(Library),
    /// A configured endpoint.
    OpenAi(Box<OpenAi>),
}

/// The earlier messages of a conversation, newest first.
pub type History = Vec<(Author, String)>;

/// What a provider sends while it generates an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The request was accepted and is billed from now on.
    Accepted {
        /// Tokens of the request by our count. The provider's own count comes at the end, if at all.
        prompt_tokens: i32,
    },
    /// The provider is working, but there is no text yet.
    Thinking,
    /// More of the answer.
    Text(String),
}

/// The end of a complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Tokens of the request, by the provider's count.
    pub prompt_tokens: Option<i32>,
    /// Tokens of the answer, by the provider's count.
    pub completion_tokens: Option<i32>,
    /// Whether the answer was cut off at its maximum length.
    pub is_cut: bool,
}

/// Why there is no complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub reason: Reason,
    /// How long the provider asked to wait before the next request.
    pub after: Option<Duration>,
    /// The provider's message for operators, at most a few hundred characters. May quote the question, so it is stored with
    /// the attempt and never logged. Never contains the key.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, after: None, detail: detail.into() }
    }
}

/// Where a provider sends pieces.
pub type Out = mpsc::Sender<Piece>;

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

    /// How long an answer may take.
    pub fn limits(&self) -> AiLimits {
        match self {
            Self::Library(_) => AiLimits::default(),
            Self::OpenAi(provider) => provider.limits(),
        }
    }

    /// The model used for an attempt.
    pub fn model<'a>(&'a self, attempt: &'a Attempt) -> Option<&'a str> {
        match self {
            Self::Library(_) => None,
            Self::OpenAi(provider) => Some(provider.model(attempt)),
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
    pub async fn generate(&self, attempt: &Attempt, history: History, out: Out) -> Result<Ended, Failure> {
        match self {
            Self::Library(library) => Ok(library.generate(attempt, out).await),
            Self::OpenAi(provider) => provider.generate(attempt, history, out).await,
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

    /// Fills in what the provider did not report: the number of tokens of `text`, and the cost of the attempt.
    pub fn account(&self, usage: &mut Usage, text: &str) {
        if let Self::OpenAi(provider) = self {
            provider.account(usage, text);
        }
    }
}
