//! Why a reply, or one attempt at it, came to nothing.

/// A reason. Clients and operators see its code, which keeps its meaning for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The provider could not be reached, or hung up before it answered.
    Unreachable,
    /// The provider has an error of its own, or is overloaded.
    ProviderError,
    /// The provider asks to come later.
    RateLimited,
    /// The answer broke off in the middle.
    BrokenOff,
    /// What came is not what the format allows.
    Malformed,
    /// Nothing came for too long.
    Silent,
    /// The answer took too long in all.
    TooSlow,
    /// The answer held no text.
    EmptyAnswer,
    /// The provider's account has no credit left.
    ProviderQuota,
    /// The provider does not accept the key.
    Unauthorized,
    /// The provider does not understand the request.
    BadRequest,
    /// The model or the endpoint does not exist.
    ModelNotFound,
    /// Question and context are longer than the model takes.
    ContextTooLong,
    /// A filter of the provider stopped the question or the answer.
    ContentFilter,
    /// The model declined to answer.
    Refused,
    /// The answer is longer than may be stored.
    AnswerTooLong,
    /// The provider did not come back in time: the reply was given up.
    ProviderUnavailable,
    /// The job died: the reply was given up.
    AttemptsExhausted,
    /// The worker was stopped; another one begins anew.
    Interrupted,
    /// A later attempt began before this one said how it ended.
    Superseded,
    /// The reply was cancelled by its learner.
    Cancelled,
    /// The reply was cancelled because its chat was cleared.
    Cleared,
}

impl Reason {
    /// The stored code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::ProviderError => "provider_error",
            Self::RateLimited => "rate_limited",
            Self::BrokenOff => "broken_off",
            Self::Malformed => "malformed",
            Self::Silent => "silent",
            Self::TooSlow => "too_slow",
            Self::EmptyAnswer => "empty_answer",
            Self::ProviderQuota => "provider_quota",
            Self::Unauthorized => "unauthorized",
            Self::BadRequest => "bad_request",
            Self::ModelNotFound => "model_not_found",
            Self::ContextTooLong => "context_too_long",
            Self::ContentFilter => "content_filter",
            Self::Refused => "refused",
            Self::AnswerTooLong => "answer_too_long",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Interrupted => "interrupted",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Cleared => "cleared",
        }
    }
}
