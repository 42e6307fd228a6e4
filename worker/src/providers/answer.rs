//! What a provider sends, and how it ends.

use std::time::Duration;

use cairn_core::tools::Reason;
use cairn_core::tools::messages::Author;
use tokio::sync::mpsc;

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
