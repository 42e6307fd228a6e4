//! Reads answers.

use std::time::Duration;

use cairn_core::tools::Reason;
use futures_util::{Stream, StreamExt, stream};
use reqwest::Response;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

use super::{Ended, Failure, Out, Piece, chain, refusal};

/// Most bytes of a stream, far more than the longest answer needs.
const MAX_STREAM: usize = 32 * 1024 * 1024;

/// Most bytes of a line of a stream.
const MAX_LINE: usize = 1024 * 1024;

/// Most bytes of an answer that is not streamed.
const MAX_WHOLE: usize = 1024 * 1024;

/// How long to wait for the rest of the stream (the usage) when the text is complete.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads a streamed answer. It is complete when the provider says so, with a finish reason or `[DONE]`.
pub(super) async fn read(response: Response, out: &Out) -> Result<Ended, Failure> {
    let mut events = Box::pin(events(response));
    let mut answer = Answer::default();
    loop {
        let event = if answer.is_finished {
            match timeout(USAGE_TIMEOUT, events.next()).await {
                Ok(Some(Ok(event))) => event,
                _ => return answer.end(),
            }
        } else {
            match events.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => return Err(answer.broken(&error)),
                None => return Err(answer.failed(Reason::BrokenOff, "the stream ended before the answer was complete")),
            }
        };
        let Some(data) = event.data else { continue };
        if data.trim() == "[DONE]" {
            return answer.end();
        }
        let taken = match serde_json::from_str::<Value>(&data) {
            Ok(value) => answer.take(&value, "delta"),
            Err(_) => Err(answer.failed(Reason::Malformed, "an event of the stream is not JSON")),
        };
        match taken {
            Ok(None) => {}
            Ok(Some(piece)) => {
                if out.send(piece).await.is_err() {
                    return answer.end(); // the receiver is gone
                }
            }
            Err(_) if answer.is_finished => return answer.end(),
            Err(failure) => return Err(failure),
        }
    }
}

/// Reads an answer that is not streamed. Some servers send it like this although a stream was requested.
pub(super) async fn read_whole(response: Response, out: &Out) -> Result<Ended, Failure> {
    let body = body(response).await?;
    let mut answer = Answer::default();
    let Ok(value) = serde_json::from_slice::<Value>(&body) else {
        return Err(Failure::new(Reason::Malformed, "the answer is neither a stream nor JSON"));
    };
    if let Some(piece) = answer.take(&value, "message")? {
        let _ = out.send(piece).await; // the provider is not at fault if the receiver is gone
    }
    if answer.is_finished { answer.end() } else { Err(Failure::new(Reason::Malformed, "the answer has no choices")) }
}

/// Reads a body, up to a limit.
pub(super) async fn body(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let broken = |error: reqwest::Error| Failure::new(Reason::BrokenOff, chain(&error.without_url()));
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_WHOLE {
            return Err(Failure::new(Reason::AnswerTooLong, "the answer is longer than 1 MB"));
        }
    }
    Ok(body)
}

/// The events of a body, up to a limit on its size.
fn events(response: Response) -> impl Stream<Item = Result<Sse, sse_stream::Error>> {
    let bytes = stream::try_unfold((response, 0, 0), |(mut response, mut total, mut line)| async move {
        let Some(chunk) = response.chunk().await.map_err(ReadError::Transport)? else { return Ok(None) };
        total += chunk.len();
        line = match chunk.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => chunk.len() - end,
            None => line + chunk.len(),
        };
        if total > MAX_STREAM || line > MAX_LINE {
            return Err(ReadError::TooLong);
        }
        Ok(Some((chunk, (response, total, line))))
    });
    SseByteStream::new(bytes)
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the connection was lost")]
    Transport(#[source] reqwest::Error),
    #[error("the stream is longer than any answer")]
    TooLong,
}

/// The state of an answer that is being read.
#[derive(Debug, Default)]
struct Answer {
    /// Whether a finish reason was received.
    is_finished: bool,
    has_text: bool,
    has_refusal: bool,
    ended: Ended,
}

impl Answer {
    /// Reads the next part. `field` is the field with its text.
    fn take(&mut self, value: &Value, field: &str) -> Result<Option<Piece>, Failure> {
        if let Some(failure) = refusal::in_answer(value) {
            return Err(self.failed(failure.reason, &failure.detail));
        }
        let count = |name: &str| value["usage"][name].as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= 0);
        self.ended.prompt_tokens = count("prompt_tokens").or(self.ended.prompt_tokens);
        self.ended.completion_tokens = count("completion_tokens").or(self.ended.completion_tokens);
        let choice = &value["choices"][0];
        let part = &choice[field];
        let text = match &part["content"] {
            Value::String(text) => text.as_str(),
            Value::Null => "",
            _ => return Err(self.failed(Reason::Malformed, "the content is not text")),
        };
        self.has_text |= !text.is_empty();
        self.has_refusal |= part["refusal"].as_str().is_some_and(|refusal| !refusal.is_empty());
        match choice["finish_reason"].as_str() {
            None | Some("") => {}
            Some("content_filter") => return Err(Failure::new(Reason::ContentFilter, "the answer was filtered")),
            Some("error") => return Err(self.failed(Reason::ProviderError, "the answer ended with an error")),
            Some(reason) => {
                self.is_finished = true;
                self.ended.is_cut = reason == "length";
            }
        }
        Ok(match text {
            "" if choice.is_null() => None,
            "" => Some(Piece::Thinking),
            text => Some(Piece::Text(text.to_owned())),
        })
    }

    fn end(self) -> Result<Ended, Failure> {
        match self {
            Self { has_refusal: true, .. } => Err(Failure::new(Reason::Refused, "the model declined to answer")),
            Self { has_text: false, .. } => Err(Failure::new(Reason::EmptyAnswer, "the answer contains no text")),
            Self { ended, .. } => Ok(ended),
        }
    }

    /// A failure while an answer is being read. Once there is text, an outage counts as an answer that broke off, because the
    /// answer has been billed.
    fn failed(&self, reason: Reason, detail: &str) -> Failure {
        let is_outage = matches!(reason, Reason::ProviderError | Reason::RateLimited);
        Failure::new(if self.has_text && is_outage { Reason::BrokenOff } else { reason }, detail)
    }

    fn broken(&self, error: &sse_stream::Error) -> Failure {
        let reason = match error {
            sse_stream::Error::Body(error) if !matches!(error.downcast_ref(), Some(ReadError::TooLong)) => {
                Reason::BrokenOff
            }
            _ => Reason::Malformed,
        };
        self.failed(reason, &chain(error))
    }
}
