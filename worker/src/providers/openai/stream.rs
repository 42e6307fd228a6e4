//! Receives answers.

use cairn_core::config::Adjustment;
use cairn_core::tools::Reason;
use reqwest::Response;

use super::super::answer::{Ended, Failure, Out, Piece};
use super::dialect::Dialect;
use super::errors::chain;
use super::reading::Reading;

/// Receives an answer. Also returns what it shows about the model.
pub(super) async fn read(
    mut response: Response,
    dialect: &dyn Dialect,
    thinks_first: bool,
    out: &Out,
) -> (Result<Ended, Failure>, Option<Adjustment>) {
    let mut reading = Reading::new(dialect, thinks_first);
    let mut pieces = Vec::new();
    loop {
        let read = match response.chunk().await {
            Ok(Some(bytes)) => reading.push(&bytes, &mut pieces),
            Ok(None) => Ok(true),
            Err(error) => Err(Failure::new(Reason::BrokenOff, chain(&error.without_url()))),
        };
        if pieces.is_empty() {
            // Whatever arrives shows that the other side works: comments, white space, events without text.
            pieces.push(Piece::Alive);
        }
        for piece in pieces.drain(..) {
            if out.send(piece).await.is_err() {
                return (Ok(Ended::default()), None); // the receiver is gone
            }
        }
        match read {
            Ok(false) => {}
            Ok(true) => break,
            Err(failure) => return (Err(failure), reading.learnt),
        }
    }
    let learnt = reading.learnt;
    let ended = reading.finish(&mut pieces);
    for piece in pieces {
        let _ = out.send(piece).await; // the provider is not at fault if the receiver is gone
    }
    (ended, learnt)
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
