//! What a provider sends, and how it ends.

use std::time::Duration;

use cairn_core::db::Db;
use cairn_core::tools::messages::Author;
use cairn_core::tools::{Reason, Request};
use tokio::sync::{mpsc, oneshot};

/// The earlier messages of a conversation, newest first.
pub type History = Vec<(Author, String)>;

/// An answer that may have been begun before, by a worker that was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// The name under which the provider keeps the answer; `None` if it is not known to keep one.
    pub kept: Option<String>,
    /// Identifies the request for the answer, so that a provider that receives it twice does not answer twice.
    pub key: Option<String>,
}

/// What a provider is asked.
pub struct Question<'a> {
    /// The question, and what its answer is based on.
    pub request: &'a Request,
    /// The earlier messages of the conversation.
    pub history: History,
    /// What is known of an answer that was begun before.
    pub begun: Begun,
    /// Where is remembered how a model wants to be asked; `None` to remember it for this process only.
    pub db: Option<&'a Db>,
}

/// What a provider sends while it generates an answer.
#[derive(Debug)]
pub enum Piece {
    /// The answer will come as a whole, so nothing shows in between that the provider works.
    Unstreamed,
    /// A request is about to be made, and waits until this is stored: whoever is lost from now on has perhaps paid for it.
    Asking {
        /// Tokens of the request by our count. The provider's own count comes later, if at all.
        prompt_tokens: i32,
        /// Is told when it is stored.
        stored: oneshot::Sender<()>,
    },
    /// The request was accepted and is billed from now on.
    Accepted {
        /// As in [`Piece::Asking`].
        prompt_tokens: i32,
    },
    /// The provider keeps the answer under this name, so that it can be read again; `None` if that is no longer of use.
    Kept(Option<String>),
    /// The provider shows that it works, but says nothing.
    Alive,
    /// More of what the model thinks, which is no part of the answer.
    Thoughts(String),
    /// More of the answer.
    Text(String),
    /// What the provider has counted so far.
    Used(Tokens),
}

/// What a provider has counted, as far as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the request.
    pub prompt: Option<i32>,
    /// Tokens of the answer, including thoughts.
    pub completion: Option<i32>,
    /// Tokens of thoughts.
    pub thinking: Option<i32>,
}

impl Tokens {
    /// Adds what was said later, which replaces what was said before.
    pub(crate) fn update(&mut self, later: Self) {
        self.prompt = later.prompt.or(self.prompt);
        self.completion = later.completion.or(self.completion);
        self.thinking = later.thinking.or(self.thinking);
    }
}

/// The end of a complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
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
