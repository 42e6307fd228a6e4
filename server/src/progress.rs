//! What is in progress on one connection: its requests, and the answers that are being sent.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Limits;

/// What is handed to hyper at once. hyper asks for more when the client has room for it, so with small pieces it can be seen
/// whether the client takes anything.
const PIECE: usize = 16 * 1024;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    state: Mutex<ConnectionState>,
    /// Cancelled when the connection must make room for another.
    pub(crate) replaced: CancellationToken,
}

#[derive(Debug)]
struct ConnectionState {
    requests: usize,
    /// When the connection was opened or its last request ended.
    waiting_since: Instant,
    has_had_request: bool,
    next_id: u64,
    sending: HashMap<u64, Arc<Sending>>,
}

/// The state of a body that is being sent.
#[derive(Debug)]
pub(crate) struct Sending(Mutex<SendingState>);

#[derive(Debug)]
struct SendingState {
    /// `None` after the body was given up.
    body: Option<Open>,
    /// Since when it is the client's turn: a piece is ready or handed over and no more was asked for. `None` while the body
    /// itself has nothing to send, such as a stream between two events.
    since: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    body: BoxBody<Bytes, io::Error>,
    /// What is left of a chunk that is sent in pieces.
    rest: Bytes,
    _request: InProgress,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    pub(crate) fn new() -> Self {
        let (waiting_since, sending) = (Instant::now(), HashMap::new());
        let state = ConnectionState { requests: 0, waiting_since, has_had_request: false, next_id: 0, sending };
        Self { state: Mutex::new(state), replaced: CancellationToken::new() }
    }

    /// Since when no request is in progress; `None` if one is.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let state = lock(&self.state);
        (state.requests == 0).then_some(state.waiting_since)
    }

    pub(crate) fn is_out_of_time(&self, limits: &Limits) -> bool {
        let state = lock(&self.state);
        let limit = if state.has_had_request { limits.idle } else { limits.first_request };
        state.requests == 0 && state.waiting_since.elapsed() >= limit
    }

    pub(crate) fn abandon(&self, limit: Duration) -> u64 {
        // Dropped without the lock, because the end of an answer is the end of a request, which needs it.
        let stalled: Vec<Arc<Sending>> =
            lock(&self.state).sending.values().filter(|sending| sending.is_stalled(limit)).cloned().collect();
        let mut abandoned = 0;
        for sending in stalled {
            abandoned += u64::from(sending.abandon());
        }
        abandoned
    }

    /// Counts a request as being in progress until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InProgress {
        let mut state = lock(&self.state);
        state.requests += 1;
        state.has_had_request = true;
        InProgress(self.clone())
    }

    /// Watches an answer until [`Self::sent`].
    pub(crate) fn sending(&self, sending: Arc<Sending>) -> u64 {
        let mut state = lock(&self.state);
        let id = state.next_id;
        state.next_id += 1;
        state.sending.insert(id, sending);
        id
    }

    /// Ends watching an answer.
    pub(crate) fn sent(&self, id: u64) {
        let sending = lock(&self.state).sending.remove(&id);
        // Without the lock, as above.
        drop(sending);
    }
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct InProgress(Arc<Connection>);

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.requests -= 1;
        state.waiting_since = Instant::now();
    }
}

impl Sending {
    pub(crate) fn new(body: BoxBody<Bytes, io::Error>, request: InProgress) -> Self {
        let open = Open { body, rest: Bytes::new(), _request: request };
        Self(Mutex::new(SendingState { body: Some(open), since: Some(Instant::now()) }))
    }

    /// Whether the client has taken nothing for `limit`.
    pub(crate) fn is_stalled(&self, limit: Duration) -> bool {
        let state = lock(&self.0);
        state.body.is_some() && state.since.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Drops the body and what it holds. False if it was gone already.
    pub(crate) fn abandon(&self) -> bool {
        let body = lock(&self.0).body.take();
        body.is_some()
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut state = lock(&self.0);
        let Some(open) = &mut state.body else {
            let reason = "the client took nothing of the answer for too long";
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, reason))));
        };
        if open.rest.is_empty() {
            match Pin::new(&mut open.body).poll_frame(context) {
                Poll::Pending => {
                    state.since = None;
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => open.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(end) => return Poll::Ready(end),
            }
        }
        let piece = open.rest.split_to(open.rest.len().min(PIECE));
        state.since = Some(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    pub(crate) fn is_over(&self) -> bool {
        let state = lock(&self.0);
        state.body.as_ref().is_some_and(|open| open.rest.is_empty() && open.body.is_end_stream())
    }
}
