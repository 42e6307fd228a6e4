//! Connections on which no request comes, or a malformed one, or too many connections.

use cairn_server::Limits;
use tokio::io::AsyncWriteExt;

use crate::support::{GET, long, rest_of, short, some_of, start, until, within};

/// The beginning of an HTTP/2 connection with empty settings.
const HTTP2: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A ping of HTTP/2.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0abcdefgh";

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let test = start(short()).await;
    let headers_without_end = "\0\0\x01\x01\0\0\0\0\x01\x02";
    for silent in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\nX: ",
        "PRI * HTTP/2.0\r\n",
        HTTP2,
        &format!("{HTTP2}{headers_without_end}"),
    ] {
        let mut socket = test.send(silent).await;
        let rest = rest_of(&mut socket).await;
        assert!(!rest.contains("200 OK"), "{silent:?}: {rest}");
    }
    until(|| test.server.counts().open == 0).await;
    assert_eq!(test.server.counts().timed_out, 6);
}

#[tokio::test]
async fn a_connection_on_which_no_other_request_follows_is_closed() {
    let test = start(short()).await;
    for begun in ["", "GET / HTTP/1.1\r\nX: "] {
        let mut socket = test.send(&format!("{GET}{begun}")).await;
        assert!(rest_of(&mut socket).await.starts_with("HTTP/1.1 200 OK"));
    }
}

#[tokio::test]
async fn bytes_that_complete_no_request_do_not_keep_a_connection() {
    let test = start(short()).await;
    for (start, more) in [("GET / HTTP/1.1\r\nX: ", b"x".as_slice()), (HTTP2, PING)] {
        let mut socket = test.send(start).await;
        within(async {
            while socket.write_all(more).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_in_progress_keeps_its_connection() {
    let test = start(short()).await;
    let mut socket = test.send(&crate::support::get_of("/wait")).await;
    within(test.seen.reached.notified()).await;
    let mut idle = test.connect().await;
    assert_eq!(rest_of(&mut idle).await, "", "the other one ran out of time meanwhile");
    test.seen.go_on.notify_one();
    assert!(some_of(&mut socket).await.contains("waited"));
}

#[tokio::test]
async fn one_address_has_its_share_of_the_connections() {
    let test = start(cairn_server::Limits { connections_per_address: 2, ..long() }).await;
    let held = [test.send(GET).await, test.send(GET).await];
    until(|| test.server.counts().open == 2).await;
    let mut third = test.connect().await;
    assert_eq!(rest_of(&mut third).await, "");
    assert_eq!(test.server.counts().refused, 1);
    drop(held);
    until(|| test.server.counts().open == 0).await;
    let mut again = test.send(GET).await;
    assert!(some_of(&mut again).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn silent_connections_make_room_for_others() {
    let test = start(cairn_server::Limits { connections: 3, ..long() }).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(test.send("GET / HT").await);
    }
    let mut socket = test.send(GET).await;
    assert!(some_of(&mut socket).await.starts_with("HTTP/1.1 200 OK"));
    until(|| test.server.counts().open <= 3).await;
    assert_eq!(test.server.counts().refused, 0);
}

#[tokio::test]
async fn lines_that_end_in_a_bare_line_feed_are_refused() {
    let test = start(long()).await;
    for bytes in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\nX: y\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\nbGET / HTTP/1.1\nHost: a\r\n\r\n",
    ] {
        let mut socket = test.send(bytes).await;
        let answer = rest_of(&mut socket).await;
        assert!(answer.contains("HTTP/1.1 400 Bad Request\r\n") && !answer.contains("200 OK"), "{bytes:?}: {answer}");
    }
}

/// A request that is refused without a look at its body.
const REFUSED: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_end_the_connection() {
    let test = start(long()).await;
    let body = vec![b'x'; 2 * 1024 * 1024];
    let mut socket = test.send(&format!("{REFUSED}Content-Length: {}\r\n\r\n", body.len())).await;
    within(socket.write_all(&body)).await.unwrap();
    within(socket.write_all(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())).await.unwrap();
    let answers = rest_of(&mut socket).await;
    assert!(answers.starts_with("HTTP/1.1 405") && answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn a_body_without_an_end_is_not_read_for_ever() {
    let test = start(long()).await;
    let mut socket = test.send(&format!("{REFUSED}Transfer-Encoding: chunked\r\n\r\n")).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    within(async { while socket.write_all(chunk.as_bytes()).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for_ever() {
    let test = start(Limits { unread: short().unread, ..long() }).await;
    let mut socket = test.send(&format!("{REFUSED}Content-Length: 1000000000\r\n\r\nbegun")).await;
    assert!(rest_of(&mut socket).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_a_body_is_not_told_to_send_one_that_nobody_reads() {
    let test = start(long()).await;
    let request = REFUSED.replace("POST /", "POST /refuse");
    let mut socket = test.send(&format!("{request}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")).await;
    within(test.seen.reached.notified()).await;
    // Meanwhile the server would have said so.
    some_of(&mut test.send(GET).await).await;
    test.seen.go_on.notify_one();
    let answers = rest_of(&mut socket).await;
    assert!(answers.starts_with("HTTP/1.1 401") && !answers.contains(" 100 "), "{answers}");
}
