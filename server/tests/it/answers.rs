//! Clients that do not take their answers.

use std::sync::atomic::Ordering;

use cairn_server::Limits;
use poem::http::Request;
use tokio::net::TcpStream;

use crate::support::{Running, get_of, long, rest_of, short, some_of, start, until, within};

/// An HTTP/2 client that takes nothing of any answer.
async fn stalled(test: &Running) -> h2::client::SendRequest<&'static [u8]> {
    let socket = TcpStream::connect(test.address).await.unwrap();
    let (requests, connection) = h2::client::Builder::new().initial_window_size(0).handshake(socket).await.unwrap();
    tokio::spawn(connection);
    requests
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("http://a{path}")).body(()).unwrap()
}

#[tokio::test]
async fn what_a_client_does_not_take_is_dropped() {
    let test = start(short()).await;
    let _socket = test.send(&get_of("/large")).await;
    until(|| test.server.counts().open == 1).await;
    until(|| test.seen.open_bodies.load(Ordering::SeqCst) == 0 && test.server.counts().open == 0).await;
}

#[tokio::test]
async fn what_an_http2_client_does_not_take_is_dropped() {
    let test = start(Limits { idle: long().idle, ..short() }).await;
    let mut requests = stalled(&test).await;
    let mut answers = Vec::new();
    for path in ["/large", "/events", "/large", "/events"] {
        requests = within(requests.ready()).await.unwrap();
        let (answer, _) = requests.send_request(request(path), true).unwrap();
        answers.push(within(answer).await.unwrap());
    }
    until(|| test.server.counts().abandoned == 2).await;
    assert_eq!(test.seen.open_bodies.load(Ordering::SeqCst), 2, "nothing has happened yet that could be taken");
    test.seen.go_on.notify_waiters();
    until(|| test.server.counts().abandoned == 4).await;
    assert_eq!(test.seen.open_bodies.load(Ordering::SeqCst), 0);
    // The stream fails if the client reads it after all, and the connection goes on.
    let mut body = answers.remove(0).into_body();
    body.flow_control().release_capacity(0).unwrap();
    requests = within(requests.ready()).await.unwrap();
    let (answer, _) = requests.send_request(request("/"), true).unwrap();
    assert_eq!(within(answer).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_client_that_waits_for_the_server_is_not_given_up() {
    let test = start(short()).await;
    let mut socket = test.send(&get_of("/events")).await;
    assert!(some_of(&mut socket).await.starts_with("HTTP/1.1 200 OK"));
    // Longer than all limits: another connection runs out of time meanwhile.
    let mut idle = test.connect().await;
    rest_of(&mut idle).await;
    assert_eq!(test.seen.open_bodies.load(Ordering::SeqCst), 1);
    test.seen.go_on.notify_one();
    assert!(rest_of(&mut socket).await.contains("xxxx"));
    assert_eq!(test.server.counts().abandoned, 0);
}

#[tokio::test]
async fn a_whole_answer_arrives() {
    let test = start(long()).await;
    let mut socket = test.send("GET /large HTTP/1.0\r\n\r\n").await;
    let answer = rest_of(&mut socket).await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 10_000 * 4096);
    until(|| test.server.counts().open == 0).await;
}

#[tokio::test]
async fn an_http2_client_has_so_many_streams() {
    let test = start(Limits { streams: 7, ..long() }).await;
    let socket = TcpStream::connect(test.address).await.unwrap();
    let (requests, mut connection) = h2::client::handshake(socket).await.unwrap();
    let mut requests = requests.ready().await.unwrap();
    let (answer, _) = requests.send_request(request("/"), true).unwrap();
    let answer = tokio::spawn(answer);
    within(async {
        while connection.max_concurrent_send_streams() != 7 {
            std::future::poll_fn(|cx| {
                let _ = Future::poll(std::pin::Pin::new(&mut connection), cx);
                std::task::Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    tokio::spawn(connection);
    assert_eq!(within(answer).await.unwrap().unwrap().status(), 200);
    let _: &mut h2::client::SendRequest<bytes::Bytes> = &mut requests;
}
