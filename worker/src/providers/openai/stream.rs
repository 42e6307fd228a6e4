//! Receives answers.

use cairn_core::config::Adjustment;
use cairn_core::tools::Reason;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use super::super::answer::{Ended, Failure, Out, Piece};
use super::adjustments::Turn;
use super::dialect::Dialect;
use super::errors::chain;
use super::reading::Reading;
use super::refusal::Refusal;

/// An answer that is to be read.
pub(super) enum Body {
    /// It arrives.
    Arriving(Response),
    /// It has arrived as a whole.
    Whole(Vec<u8>),
}

impl Body {
    /// The next part; empty at the end.
    async fn next(&mut self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Whole(body) => Ok(std::mem::take(body)),
            Self::Arriving(response) => loop {
                match response.chunk().await {
                    Ok(Some(bytes)) if bytes.is_empty() => {}
                    Ok(bytes) => return Ok(bytes.map(Vec::from).unwrap_or_default()),
                    Err(error) => return Err(Failure::new(Reason::BrokenOff, chain(&error.without_url()))),
                }
            },
        }
    }
}

/// Whether a response is called a stream of events.
pub(super) fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_none_or(|kind| !kind.starts_with("application/json"))
}

/// What an answer shows beside its text.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// About the model, for the next request.
    pub(super) learnt: Option<Adjustment>,
    /// The error that came in its place.
    pub(super) refused: Option<Refusal>,
    /// The name of an answer that the provider keeps, and of which nothing was read.
    pub(super) kept: Option<String>,
}

/// Receives an answer. When it begins, the model is known to have accepted the request.
pub(super) async fn read(
    mut body: Body,
    dialect: &dyn Dialect,
    thinks_first: bool,
    turn: &mut Option<Turn>,
    out: &Out,
) -> (Result<Ended, Failure>, Shown) {
    let mut reading = Reading::new(dialect, thinks_first);
    let mut pieces = Vec::new();
    let ended = loop {
        let read = match body.next().await {
            Ok(bytes) if bytes.is_empty() => Ok(true),
            Ok(bytes) => reading.push(&bytes, &mut pieces),
            Err(failure) => {
                let _ = reading.finish(&mut pieces); // what was held back is part of the text
                Err(failure)
            }
        };
        if reading.has_begun()
            && let Some(turn) = turn.take()
        {
            turn.accepted();
        }
        if pieces.is_empty() {
            // Whatever arrives shows that the other side works: comments, white space, events without text.
            pieces.push(Piece::Alive);
        }
        for piece in pieces.drain(..) {
            if out.send(piece).await.is_err() {
                return (Ok(Ended::default()), Shown::default()); // the receiver is gone
            }
        }
        match read {
            Ok(false) => {}
            Ok(true) => break reading.finish(&mut pieces),
            Err(failure) => break Err(failure),
        }
    };
    for piece in pieces {
        let _ = out.send(piece).await; // the provider is not at fault if the receiver is gone
    }
    let kept = reading.response_id.take().filter(|_| !reading.has_begun());
    (ended, Shown { learnt: reading.learnt, refused: reading.refused, kept })
}

/// Reads a body as a whole, up to a limit in bytes.
pub(super) async fn whole(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let broken = |error: reqwest::Error| {
        let reason = if error.is_timeout() { Reason::TooSlow } else { Reason::BrokenOff };
        Failure::new(reason, chain(&error.without_url()))
    };
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > limit {
            let detail = format!("the answer is longer than {} MB", limit / 1024 / 1024);
            return Err(Failure::new(Reason::Malformed, detail));
        }
    }
    Ok(body)
}
