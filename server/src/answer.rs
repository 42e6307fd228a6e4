//! The body of an answer, watched while it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};

use crate::progress::{Connection, InProgress, Sending};

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

impl Answer {
    /// Sends `body` as the answer to `request`, which ends when it was sent.
    pub(crate) fn new(body: BoxBody<Bytes, io::Error>, connection: &Arc<Connection>, request: InProgress) -> Self {
        let size = body.size_hint();
        if size.exact().is_some_and(|size| size <= SMALL) {
            return Self::Whole(body);
        }
        let sending = Arc::new(Sending::new(body, request));
        let (connection, id) = (connection.clone(), connection.sending(sending.clone()));
        Self::Watched(Watched { sending, connection, id, size })
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
