//! The ways in which the stub fails.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `none`
    None,
    /// `429`, `500`, …: a response with that status and an error body in the script's dialect.
    Status(u16),
    /// `quota`: the account is out of credit.
    Quota,
    /// `context`: the question exceeds the context of the model.
    Context,
    /// `flagged`: the question is rejected by a filter.
    Flagged,
    /// `model`: the model does not exist.
    Model,
    /// `hang_up`: the connection is closed without a response.
    HangUp,
    /// `redirect`: a redirect to another address.
    Redirect,
    /// `html`: a web page, with status 200.
    Html,
    /// `error_200`: an error body, with status 200.
    Error200,
    /// `disconnect`: the connection is closed in the middle of the stream.
    Disconnect,
    /// `end`: the stream ends properly, but too early.
    End,
    /// `stall`: the stream stays open, but nothing more is sent.
    Stall,
    /// `keepalive`: only comments are sent from then on.
    Keepalive,
    /// `garbage`: an event that is not JSON.
    Garbage,
    /// `bytes`: an event that is not UTF-8.
    Bytes,
    /// `line`: a line that never ends.
    Line,
    /// `error`: an error object in the stream.
    Error,
    /// `overloaded`: an error object in the stream that asks to try again later.
    Overloaded,
    /// `late_error`: an error object after the finish reason.
    LateError,
    /// `empty`: a valid stream without any text.
    Empty,
    /// `filter`: the answer is cut off by a content filter.
    Filter,
    /// `refusal`: the model declines, in the field for refusals.
    Refusal,
    /// `length`: the answer is cut off at its maximum length, after `at` pieces if the script says so.
    Length,
    /// `json`: the whole answer at once, although a stream was requested. Valid.
    Json,
    /// `no_done`: the stream ends after its finish reason, without `[DONE]`. Valid.
    NoDone,
    /// `no_reason`: the stream ends with `[DONE]`, without a finish reason.
    NoReason,
}
