//! What a client has sent of a body that nobody reads to its end, such as that of a request without a token.
//!
//! A connection that is closed while bytes of a request are still coming is reset, and the reset may overtake the answer: a
//! client sees a broken connection instead of a 401, and a proxy makes it a 502. So the rest is read and thrown away while the
//! answer is sent, within limits (RFC 9112, section 9.6, has the reason).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use poem::http::{Version, header};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How many bytes of a body are thrown away. If there are more, the connection is closed.
const MAX_UNREAD: usize = 4 * 1024 * 1024;

/// The body of a request, whose rest is read when it is dropped.
#[derive(Debug)]
struct Unread {
    /// `None` once it was read to its end.
    body: Option<BoxBody<Bytes, io::Error>>,
    /// The client waits to be asked for the body (`Expect: 100-continue`), and nobody has asked by reading it.
    is_waiting: bool,
    /// How long the rest is read.
    limit: Duration,
}

/// Has the rest of a request's body read for so long if its handler does not read it. A stream of HTTP/2 ends without its connection.
pub(crate) fn read_rest(request: &mut poem::Request, limit: Duration) {
    if request.version() >= Version::HTTP_2 {
        return;
    }
    let is_waiting = request.headers().contains_key(header::EXPECT);
    let body = Some(request.take_body().into());
    request.set_body(BoxBody::new(Unread { body, is_waiting, limit }));
}

impl Body for Unread {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.is_waiting = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        if let Ok(runtime) = Handle::try_current()
            && !self.is_waiting
        {
            runtime.spawn(timeout(self.limit, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: BoxBody<Bytes, io::Error>) {
    let mut read = 0;
    while read <= MAX_UNREAD
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}
