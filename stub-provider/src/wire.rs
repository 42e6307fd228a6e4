//! A minimal implementation of HTTP/1.1 that controls every write. A server library would decide by itself what is sent
//! together, and could not close a connection in the middle of an event.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Most bytes of the head of a request.
const MAX_HEAD: usize = 64 * 1024;

/// Most bytes of the body of a request.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// The relevant parts of a request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// The value of the `Authorization` header.
    pub(crate) authorization: Option<String>,
    /// The value of the `api-key` header.
    pub(crate) api_key: Option<String>,
    /// The value of the `Idempotency-Key` header.
    pub(crate) idempotency_key: Option<String>,
}

/// A client's connection.
pub(crate) struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        // Separate writes must arrive separately.
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }

    /// The next request; `None` if the client has closed the connection.
    pub(crate) async fn request(&mut self) -> io::Result<Option<Request>> {
        let mut lines = Vec::new();
        let mut size = 0;
        loop {
            let mut line = String::new();
            size += self.reader.read_line(&mut line).await?;
            if size > MAX_HEAD {
                return Err(io::Error::other("the head is too long"));
            }
            match line.trim_end() {
                "" if lines.is_empty() => return Ok(None),
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let header = |name: &str| {
            lines.iter().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let length = header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        if length > MAX_BODY {
            return Err(io::Error::other("the body is too long"));
        }
        let (authorization, api_key) = (header("authorization"), header("api-key"));
        let idempotency_key = header("idempotency-key");
        let mut first = lines[0].split(' ').map(str::to_owned);
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).await?;
        Ok(Some(Request { method, path, body, authorization, api_key, idempotency_key }))
    }

    /// Sends a complete response.
    pub(crate) async fn send(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut answer = head(status, headers, &format!("content-length: {}", body.len())).into_bytes();
        answer.extend_from_slice(body);
        self.writer.write_all(&answer).await
    }

    /// Begins a response with a chunked body.
    pub(crate) async fn begin(&mut self, headers: &[(&str, &str)]) -> io::Result<()> {
        self.writer.write_all(head(200, headers, "transfer-encoding: chunked").as_bytes()).await
    }

    /// Sends a piece of the body, at most `write` bytes at a time. Each part is a separate chunk and a separate write, so split
    /// characters arrive split.
    pub(crate) async fn piece(&mut self, bytes: &[u8], write: Option<usize>) -> io::Result<()> {
        for part in bytes.chunks(write.unwrap_or(usize::MAX)) {
            let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
            chunk.extend_from_slice(part);
            chunk.extend_from_slice(b"\r\n");
            self.writer.write_all(&chunk).await?;
        }
        Ok(())
    }

    /// Sends half of a piece, right before the connection is closed.
    pub(crate) async fn broken_piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        let head = format!("{:x}\r\n", bytes.len());
        self.writer.write_all(head.as_bytes()).await?;
        self.writer.write_all(&bytes[..bytes.len() / 2]).await
    }

    /// Ends the body.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.writer.write_all(b"0\r\n\r\n").await
    }

    /// Waits for this time. Fails as soon as the client hangs up.
    pub(crate) async fn pause(&mut self, time: Duration) -> io::Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        let sleep = tokio::time::sleep(time);
        tokio::pin!(sleep);
        tokio::select! {
            () = &mut sleep => return Ok(()),
            filled = self.reader.fill_buf() => if filled?.is_empty() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        sleep.await; // the next request has arrived early
        Ok(())
    }
}

fn head(status: u16, headers: &[(&str, &str)], framing: &str) -> String {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Stub\r\n{}{framing}\r\n\r\n", lines.concat())
}
