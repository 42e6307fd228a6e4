//! A server with short limits, and what its handlers do.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use cairn_server::{Limits, Server};
use futures_util::Stream;
use poem::http::StatusCode;
use poem::{Body, Endpoint, EndpointExt, Request, Response, Route, get, handler, web::Data};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must happen. Not a measurement: it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the handlers share with the tests.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// The bodies of streams that exist.
    pub(crate) open_bodies: Arc<AtomicUsize>,
    /// Lets `/wait` and the streams of `/events` go on.
    pub(crate) go_on: Arc<Notify>,
    /// Notified when a request reaches `/wait`.
    pub(crate) reached: Arc<Notify>,
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
    pub(crate) seen: Seen,
    pub(crate) stop: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<io::Result<()>>,
}

/// Limits that are over soon.
pub(crate) fn short() -> Limits {
    let limit = Duration::from_millis(200);
    Limits { first_request: limit, idle: limit, write: limit, unread: limit, ..Limits::default() }
}

/// Limits that no test reaches.
pub(crate) fn long() -> Limits {
    Limits {
        first_request: PATIENCE * 9,
        idle: PATIENCE * 9,
        write: PATIENCE * 9,
        unread: PATIENCE * 9,
        ..Limits::default()
    }
}

pub(crate) async fn start(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen, stop) = (listener.local_addr().unwrap(), Seen::default(), CancellationToken::new());
    let server = Server::new("test", limits);
    let (running, endpoint, stopping) = (server.clone(), endpoint(seen.clone()), stop.clone());
    let task = tokio::spawn(async move { running.run(listener, endpoint, stopping, Duration::from_millis(200)).await });
    Running { address, server, seen, stop, task }
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection on which that was sent.
    pub(crate) async fn send(&self, bytes: &str) -> TcpStream {
        let mut socket = self.connect().await;
        socket.write_all(bytes.as_bytes()).await.unwrap();
        socket
    }
}

/// What the server still sends before it closes the connection.
pub(crate) async fn rest_of(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that was reset is closed too.
    let _ = within(socket.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The next bytes that the server sends.
pub(crate) async fn some_of(socket: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let read = within(socket.read(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this should have happened long ago")
}

/// Waits until it is true.
pub(crate) async fn until(mut is_true: impl FnMut() -> bool) {
    within(async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn endpoint(seen: Seen) -> impl Endpoint + 'static {
    Route::new()
        .at("/", get(hello))
        .at("/large", get(large))
        .at("/events", get(events))
        .at("/wait", get(wait_for_test))
        .at("/refuse", poem::endpoint::make(refuse))
        .data(seen)
}

#[handler]
fn hello() -> &'static str {
    "hello"
}

/// A body of 40 MB that is made as it is taken, more than any buffer between server and client.
#[handler]
fn large(Data(seen): Data<&Seen>) -> Response {
    Body::from_bytes_stream(Counted::new(seen, 10_000, false)).into()
}

/// Nothing, until the tests notify.
#[handler]
fn events(Data(seen): Data<&Seen>) -> Response {
    Body::from_bytes_stream(Counted::new(seen, 1, true)).into()
}

#[handler]
async fn wait_for_test(seen: Data<&Seen>) -> &'static str {
    seen.reached.notify_one();
    seen.go_on.notified().await;
    "waited"
}

/// Looks at no body, and answers when the tests notify.
async fn refuse(mut request: Request) -> StatusCode {
    let seen = request.data::<Seen>().unwrap().clone();
    drop(request.take_body());
    seen.reached.notify_one();
    seen.go_on.notified().await;
    StatusCode::UNAUTHORIZED
}

/// A stream of chunks of 4 kB that counts itself.
struct Counted {
    chunks: usize,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    open: Arc<AtomicUsize>,
}

impl Counted {
    fn new(seen: &Seen, chunks: usize, waits: bool) -> Self {
        seen.open_bodies.fetch_add(1, Ordering::SeqCst);
        let go_on = seen.go_on.clone();
        let wait =
            waits.then(|| Box::pin(async move { go_on.notified().await }) as Pin<Box<dyn Future<Output = ()> + Send>>);
        Self { chunks, wait, open: seen.open_bodies.clone() }
    }
}

impl Stream for Counted {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(wait) = &mut self.wait {
            if wait.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.wait = None;
        }
        if self.chunks == 0 {
            return Poll::Ready(None);
        }
        self.chunks -= 1;
        Poll::Ready(Some(Ok(vec![b'x'; 4096])))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}
