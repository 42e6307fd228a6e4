//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use poem::endpoint::DynEndpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::Limits;
use crate::answer::Answer;
use crate::connections::Guard;
use crate::framing::Checked;
use crate::unread::read_rest;

/// How long a connection that is to end may take for it.
const CLOSING: Duration = Duration::from_secs(2);
/// The longest header, and the most bytes that are buffered per HTTP/1 connection or HTTP/2 stream.
const BUFFER: usize = 64 * 1024;
/// The bytes of requests that an HTTP/2 client may send before they are read, per stream and per connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// The size of all header fields of an HTTP/2 request.
const MAX_HEADER_LIST: u32 = 16 * 1024;
/// An HTTP/2 client is asked for a sign of life this often, and has this long to give one.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What the connections of a server share.
pub(crate) struct Shared {
    pub(crate) endpoint: Box<dyn DynEndpoint<Output = Response>>,
    pub(crate) limits: Limits,
    /// No new requests are accepted.
    pub(crate) stopping: CancellationToken,
    /// Connections end at once.
    pub(crate) stopped: CancellationToken,
}

/// How hyper reads and writes.
pub(crate) fn protocol(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Headers are part of the time in which a request must come, which is the same for both protocols.
    builder.http1().header_read_timeout(None).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Serves a connection until either side ends it, or a limit does.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    protocol: Builder<TokioExecutor>,
    socket: TcpStream,
    (local, peer): (SocketAddr, SocketAddr),
    guard: Guard,
) {
    // Answers are written at once; waiting to combine them would only delay them.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(shared.limits.write));
    let service = service_fn(|request| {
        let (shared, connection) = (shared.clone(), guard.connection.clone());
        let in_progress = connection.begin();
        async move {
            let addresses = (LocalAddr(Addr::from(local)), RemoteAddr(Addr::from(peer)));
            let mut request = poem::Request::from((request, addresses.0, addresses.1, Scheme::HTTP));
            read_rest(&mut request, shared.limits.unread);
            let response = shared.endpoint.get_response(request).await;
            let response = hyper::Response::from(response);
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, &connection, in_progress)))
        }
    });
    let io = TokioIo::new(Checked::new(Box::pin(socket)));
    let mut connection = pin!(protocol.serve_connection(io, service));
    let mut checks = interval(shared.limits.check_interval());
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closes_at = None;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(error = %error, "a connection failed");
                }
                return;
            }
            () = shared.stopping.cancelled(), if closes_at.is_none() => {
                // Requests in progress have until the server itself stops waiting.
                connection.as_mut().graceful_shutdown();
                closes_at = Some(None);
            }
            () = guard.connection.replaced.cancelled() => return,
            () = shared.stopped.cancelled() => return,
            _ = checks.tick() => {
                guard.abandon(shared.limits.write);
                if closes_at.flatten().is_some_and(|at| Instant::now() >= at) {
                    return;
                }
                if closes_at.is_none() && guard.is_out_of_time(&shared.limits) {
                    connection.as_mut().graceful_shutdown();
                    closes_at = Some(Some(Instant::now() + CLOSING.min(shared.limits.first_request)));
                }
            }
        }
    }
}
