//! A proxy in front of Postgres that fails as networks and frozen servers do: without a word.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The proxy. Dropping it closes its connections.
pub struct Proxy {
    url: String,
    rules: watch::Sender<Rules>,
    accepting: JoinHandle<()>,
}

/// What happens to connections, which are numbered in the order in which they were accepted.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// The number of the next connection.
    next: u64,
    /// Earlier connections stay open, but nothing that is sent on them arrives, and neither end learns that the other is
    /// gone.
    silent_before: u64,
    /// Earlier connections are reset.
    reset_before: u64,
}

impl Proxy {
    /// A proxy for the server of a URL, through which everything passes.
    pub async fn start(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (rules, _) = watch::channel(Rules { next: 0, silent_before: 0, reset_before: 0 });
        let accepting = tokio::spawn(accept(listener, server, rules.clone()));
        Self { url: through(url, &options, address), rules, accepting }
    }

    /// The URL, through the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes the existing connections silent. New ones work.
    pub fn silence_existing(&self) {
        self.rules.send_modify(|rules| rules.silent_before = rules.next);
    }

    /// Makes all connections silent. New ones are accepted and never answered, as by a server that is frozen.
    pub fn silence_all(&self) {
        self.rules.send_modify(|rules| rules.silent_before = u64::MAX);
    }

    /// Lets everything pass again. What was sent on silent connections arrives late.
    pub fn restore(&self) {
        self.rules.send_modify(|rules| rules.silent_before = 0);
    }

    /// Resets the existing connections. New ones work.
    pub fn reset_existing(&self) {
        self.rules.send_modify(|rules| rules.reset_before = rules.next);
    }

    /// Resets the silent connections, as servers do when their keepalives are not answered.
    pub fn reset_silent(&self) {
        self.rules
            .send_modify(|rules| rules.reset_before = rules.reset_before.max(rules.silent_before.min(rules.next)));
    }

    /// How many connections have been accepted so far.
    pub fn accepted(&self) -> u64 {
        self.rules.borrow().next
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset_existing();
    }
}

/// The URL with another address.
fn through(url: &str, options: &PgConnectOptions, address: SocketAddr) -> String {
    let host = format!("{}:{}", options.get_host(), options.get_port());
    assert!(url.contains(&host), "the URL does not name {host}");
    url.replacen(&host, &address.to_string(), 1)
}

async fn accept(listener: TcpListener, server: (String, u16), rules: watch::Sender<Rules>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = rules.borrow().next;
        rules.send_modify(|rules| rules.next += 1);
        tokio::spawn(relay(client, server.clone(), number, rules.subscribe()));
    }
}

async fn relay(client: TcpStream, server: (String, u16), number: u64, mut rules: watch::Receiver<Rules>) {
    if passes(&mut rules.clone(), number).await.is_none() {
        return;
    }
    let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)).await else { return };
    // Dropping a socket then resets its connection, as when the other end is gone.
    if client.set_zero_linger().is_err() || client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = copy(from_client, to_server, number, rules.clone());
    let back = copy(from_server, to_client, number, rules.clone());
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        _ = rules.wait_for(|rules| number < rules.reset_before) => {}
    }
}

/// Passes on what is sent in one direction while the connection is not silent.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, mut rules: watch::Receiver<Rules>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // The end of a silent connection is not passed on either.
        if passes(&mut rules, number).await.is_none() || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Waits until the connection is not silent. `None` if the proxy is gone.
async fn passes(rules: &mut watch::Receiver<Rules>, number: u64) -> Option<()> {
    rules.wait_for(|rules| number >= rules.silent_before).await.ok().map(drop)
}
