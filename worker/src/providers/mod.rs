//! Who writes answers: the built-in provider, or an endpoint that speaks OpenAI's chat-completions format.
//!
//! A provider takes what was fixed when the question was asked and sends the answer piece by piece. It knows nothing of
//! jobs, attempts or readers: how long it may take, when to stop and what a [`Failure`] means for the reply is decided by
//! the job (`jobs/generate_reply`).

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

/// Who writes answers.
pub enum Provider {
    /// The built-in one.
    Library(Library),
    /// An endpoint.
    OpenAi(Box<OpenAi>),
}

/// What was said before, newest first.
pub type History = Vec<(Author, String)>;

/// What a provider sends while it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The request was taken, so it is paid for from now on: so many tokens.
    Accepted {
        /// By our count; the provider's own comes with the end, if at all.
        prompt_tokens: i32,
    },
    /// It is at work, and there is no text yet.
    Thinking,
    /// More of the answer.
    Text(String),
}

/// How an answer ended that is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Tokens of the request, by the provider's count.
    pub prompt_tokens: Option<i32>,
    /// Tokens of the answer, by the provider's count.
    pub completion_tokens: Option<i32>,
    /// It is as long as it may be, and ends there.
    pub is_cut: bool,
}

/// Why there is no answer, or only the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub reason: Reason,
    /// When the provider wants to be asked again.
    pub after: Option<Duration>,
    /// What the provider said, at most a few hundred characters, for operators. May quote the question, so it is stored
    /// with the attempt and never logged. Never holds the key.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, after: None, detail: detail.into() }
    }
}

/// Where a provider sends pieces to.
pub type Out = mpsc::Sender<Piece>;

impl Provider {
    /// The provider that is configured.
    pub fn from_config(config: &Config) -> cairn_core::Result<Self> {
        match &config.ai {
            None => Ok(Self::Library(Library::default())),
            Some(ai) => OpenAi::new(ai)
                .map(|provider| Self::OpenAi(Box::new(provider)))
                .map_err(|error| cairn_core::Error::message(format!("no HTTP client for the AI provider: {error}"))),
        }
    }

    /// Its name, as stored with a reply: of an endpoint, its host.
    pub fn name(&self) -> &str {
        match self {
            Self::Library(_) => library::NAME,
            Self::OpenAi(provider) => provider.name(),
        }
    }

    /// How long it may take.
    pub fn limits(&self) -> AiLimits {
        match self {
            Self::Library(_) => AiLimits::default(),
            Self::OpenAi(provider) => provider.limits(),
        }
    }

    /// The model that an attempt is made with.
    pub fn model<'a>(&'a self, attempt: &'a Attempt) -> Option<&'a str> {
        match self {
            Self::Library(_) => None,
            Self::OpenAi(provider) => Some(provider.model(attempt)),
        }
    }

    /// Characters of earlier messages that it may have use for.
    pub fn history_chars(&self) -> i64 {
        match self {
            Self::Library(_) => 0,
            Self::OpenAi(provider) => provider.history_chars(),
        }
    }

    /// Leave to call it; `Err` = not now, but after this time.
    pub(crate) fn admit(&self) -> Result<Permit, Duration> {
        match self {
            Self::Library(_) => Ok(Permit::default()),
            Self::OpenAi(provider) => provider.admit(),
        }
    }

    /// Writes an answer. Returns when it is complete; what was sent until then are its pieces, in order.
    pub async fn generate(&self, attempt: &Attempt, history: History, out: Out) -> Result<Ended, Failure> {
        match self {
            Self::Library(library) => Ok(library.generate(attempt, out).await),
            Self::OpenAi(provider) => provider.generate(attempt, history, out).await,
        }
    }

    /// Whether it can be used, without a question: `Ok(Some(false))` = it answers, and does not list the configured model;
    /// `Ok(None)` = it answers, and lists none. The built-in one is always there.
    pub async fn check(&self) -> Result<Option<bool>, Failure> {
        match self {
            Self::Library(_) => Ok(Some(true)),
            Self::OpenAi(provider) => provider.offers_model().await,
        }
    }

    /// Fills in what the provider did not say: the tokens of `text`, and what the attempt cost.
    pub fn account(&self, usage: &mut Usage, text: &str) {
        if let Self::OpenAi(provider) = self {
            provider.account(usage, text);
        }
    }
}
