//! The body of an answer, watched while it is sent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::connections::{Connection, InProgress};

/// What is handed to hyper at once. hyper asks for more when the client has room for it, so with small pieces it can be seen
/// whether the client takes anything.
const PIECE: usize = 16 * 1024;

/// Bodies up to this size are handed over whole and not watched: there is nothing to save by giving them up.
const SMALL: u64 = 4 * 1024;

/// A body as hyper sends it.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A small body, or one that was sent.
    Whole(BoxBody<Bytes, io::Error>),
    /// A body that can be given up.
    Watched(Watched),
}

/// A body that can be given up.
#[derive(Debug)]
pub(crate) struct Watched {
    sending: Arc<Sending>,
    connection: Arc<Connection>,
    id: u64,
    size: SizeHint,
}

/// The state of a body that is being sent.
#[derive(Debug)]
pub(crate) struct Sending(Mutex<State>);

#[derive(Debug)]
struct State {
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

impl Answer {
    /// Sends `body` as the answer to `request`, which ends when it was sent.
    pub(crate) fn new(body: BoxBody<Bytes, io::Error>, connection: &Arc<Connection>, request: InProgress) -> Self {
        let size = body.size_hint();
        if size.exact().is_some_and(|size| size <= SMALL) {
            return Self::Whole(body);
        }
        let open = Open { body, rest: Bytes::new(), _request: request };
        let state = State { body: Some(open), since: Some(Instant::now()) };
        let sending = Arc::new(Sending(Mutex::new(state)));
        let (connection, id) = (connection.clone(), connection.sending(sending.clone()));
        Self::Watched(Watched { sending, connection, id, size })
    }
}

impl Sending {
    /// Whether the client has taken nothing for `limit`.
    pub(crate) fn is_stalled(&self, limit: Duration) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.body.is_some() && state.since.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Drops the body and what it holds. False if it was gone already.
    pub(crate) fn abandon(&self) -> bool {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).body.take();
        body.is_some()
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn is_over(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.body.as_ref().is_some_and(|open| open.rest.is_empty() && open.body.is_end_stream())
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Watched(watched) => watched.sending.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Watched(watched) => watched.sending.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Watched(watched) => watched.size,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.sending.abandon();
        self.connection.sent(self.id);
    }
}
