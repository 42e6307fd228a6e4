//! Why a reply, or one attempt at it, ended without an answer.

/// Why a reply or an attempt ended without an answer. Clients and operators see the code, whose meaning never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The provider could not be reached, or closed the connection before it answered.
    Unreachable,
    /// The provider reported an internal error or overload.
    ProviderError,
    /// The provider limited the rate of requests.
    RateLimited,
    /// The connection was lost in the middle of the answer.
    BrokenOff,
    /// The response does not follow the expected format.
    Malformed,
    /// The provider sent nothing for too long.
    Silent,
    /// The whole answer took too long.
    TooSlow,
    /// The answer contained no text.
    EmptyAnswer,
    /// The model used up the length of its answer without writing one, usually by thinking. The instruction allows too few tokens.
    OnlyThinking,
    /// The answer ended, but the provider did not say, or not in a way that is known, that it is complete.
    UnknownEnd,
    /// The provider's account has no credit left.
    ProviderQuota,
    /// The provider rejected the API key.
    Unauthorized,
    /// The provider rejected the request as invalid.
    BadRequest,
    /// The model or the endpoint does not exist.
    ModelNotFound,
    /// The question, with what is sent along, exceeds the size of the model's context. A shorter question may fit.
    ContextTooLong,
    /// A content filter of the provider blocked the question or the answer.
    ContentFilter,
    /// The model declined to answer.
    Refused,
    /// The answer is longer than the limit for stored messages.
    AnswerTooLong,
    /// The provider stayed unavailable until the reply had to fail.
    ProviderUnavailable,
    /// A budget leaves nothing for another attempt.
    BudgetExceeded,
    /// The job used up its attempts.
    AttemptsExhausted,
    /// The worker was stopped; another worker starts a new attempt.
    Interrupted,
    /// A later attempt started before this one reported its end.
    Superseded,
    /// The learner cancelled the reply.
    Cancelled,
    /// The learner cleared the chat.
    Cleared,
}

impl Reason {
    /// The code that is stored, and that clients and operators see.
    pub fn code(self) -> &'static str {
        self.into()
    }
}
