//! A client for many requests: one connection, kept alive, that costs as little of the shared cores as possible.

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to the API.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects to an address such as `127.0.0.1:1234`.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a request without a body. Returns the body of the answer, which must be a success with a `Content-Length`.
    pub(crate) async fn get(&mut self, path: &str, token: &str) -> anyhow::Result<&[u8]> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.received.clear();
        let (head, length) = loop {
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the API closed the connection");
            if let Some(head) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let text = std::str::from_utf8(&self.received[..head])?.to_ascii_lowercase();
                ensure!(text.starts_with("http/1.1 200"), "GET {path}: {text}");
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                break (head + 4, length.context("no Content-Length")?.parse::<usize>()?);
            }
        };
        while self.received.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the API closed the connection");
        }
        Ok(&self.received[head..])
    }
}
