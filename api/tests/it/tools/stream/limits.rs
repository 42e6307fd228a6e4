//! How many streams there may be, and when they end.

use std::net::SocketAddr;

use cairn_api::streams::Limits;
use poem::http::Method;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ASSISTANT, IDEAS, Writer, asked, follow, stream};
use crate::support::{Reading, TestApp};

#[tokio::test]
async fn a_user_and_a_process_have_so_many_streams_at_most() {
    let app = TestApp::new().await;
    let small = app.limited(Limits { total: 3, per_user: 2 });
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let (mine, yours) = (asked(&anna, ASSISTANT).await, asked(&ben, ASSISTANT).await);
    let (anna, ben) = (anna.at(&small), ben.at(&small));
    let first = follow(&anna, mine, None).await;
    let _second = follow(&anna, mine, None).await;
    let refused = stream(&anna, mine, None).await.expect(429).problem("too_many_streams");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    let _third = follow(&ben, yours, None).await;
    let refused = stream(&ben, yours, None).await.expect(503).problem("unavailable");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    // A place that is given up can be taken.
    drop(first);
    let _fourth = follow(&anna, mine, None).await;
    app.run_jobs().await;
}

#[tokio::test]
async fn a_refused_stream_takes_no_place() {
    let app = TestApp::new().await;
    let small = app.limited(Limits { total: 1, per_user: 1 });
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    app.run_jobs().await;
    let anna = anna.at(&small);
    let last = follow(&anna, reply_id, None).await.rest().await.pop().unwrap().id;
    for _ in 0..3 {
        stream(&anna, Uuid::from_u128(1), None).await.expect(404);
        stream(&anna, reply_id, Some(&last)).await.expect(200);
    }
    follow(&anna, reply_id, None).await.rest().await;
    anna.call(Method::HEAD, &format!("/v1/replies/{reply_id}/stream")).await;
    follow(&anna, reply_id, None).await.rest().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let app = TestApp::new().await;
    for (n, end) in [
        "UPDATE sessions SET revoked_at = now(), revoke_reason = 'logout' WHERE user_id = $1",
        "UPDATE sessions SET expires_at = now() - interval '1 second' WHERE user_id = $1",
        "UPDATE users SET status = 'suspended' WHERE id = $1",
        "UPDATE users SET deleted_at = now() WHERE id = $1",
        "DELETE FROM ai_replies WHERE user_id = $1",
    ]
    .into_iter()
    .enumerate()
    {
        let actor = app.student(&format!("learner{n}")).await;
        let reply_id = asked(&actor, ASSISTANT).await;
        let mut reader = follow(&actor, reply_id, None).await;
        let mut writer = Writer::begin(&app, reply_id).await;
        writer.write("a").await;
        reader.expect("chunk").await;
        sqlx::query(end).bind(actor.id).execute(app.app.pool()).await.unwrap();
        writer.write("b").await;
        assert_eq!(reader.next().await, None, "{end}");
    }
    app.leave_jobs();
}

/// Nothing is written meanwhile, so nothing wakes the reader.
#[tokio::test]
async fn a_silent_stream_ends_with_its_session_too() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, reply_id, None).await;
    sqlx::query("UPDATE users SET status = 'suspended'").execute(app.app.pool()).await.unwrap();
    assert_eq!(reader.next().await, None);
    app.leave_jobs();
}

#[tokio::test]
async fn a_reader_that_lags_gets_everything_in_its_own_time() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, IDEAS).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("0 ").await;
    let (mut reader, mut reading) = (follow(&anna, reply_id, None).await, Reading::default());
    reading.take(reader.expect("chunk").await);
    for n in 1..300 {
        writer.write(&format!("{n} ")).await;
    }
    let text = (0..300).map(|n| format!("{n} ")).collect::<Vec<_>>().concat();
    writer.complete(&text).await;
    for event in reader.rest().await {
        reading.take(event);
    }
    assert_eq!(reading.text, text);
    assert_eq!(reading.over.unwrap().name, "completed");
    app.run_jobs().await;
}

async fn connect(addr: SocketAddr, path: &str, token: &str) -> BufReader<TcpStream> {
    let mut connection = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_in_order_when_the_process_stops() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("a").await;
    let listen = async || cairn_api::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (api, ops) = (listen().await, listen().await);
    let (addr, shutdown) = (api.local_addr().unwrap(), CancellationToken::new());
    let (db, stop) = (app.app.db.clone(), shutdown.clone());
    let serving = tokio::spawn(async move { cairn_api::serve(&crate::process::config(), db, api, ops, stop).await });
    let mut reader = connect(addr, &format!("/v1/replies/{reply_id}/stream"), &anna.token).await;
    let mut line = String::new();
    while line.trim() != "id: 1.1" {
        line.clear();
        assert!(reader.read_line(&mut line).await.unwrap() > 0, "the stream ended");
    }
    shutdown.cancel();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("data: {\"text\":\"a\""), "{rest}");
    let (_, hint) = rest.split_once("retry: ").unwrap_or_else(|| panic!("no hint in {rest}"));
    assert!(hint.split_whitespace().next().unwrap().parse::<u64>().unwrap() < 5000, "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "the answer is complete: {rest}");
    serving.await.unwrap().unwrap();
    app.run_jobs().await;
}
