//! HTTP/1.1, as far as it is needed, with every write under control: a server library would decide by itself what goes
//! out together, and would not break a connection in the middle of a frame.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Most bytes of a request's head, and of its body.
const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 16 * 1024 * 1024;

/// A request, as far as it matters here.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// The value of the `Authorization` header.
    pub(crate) authorization: Option<String>,
}

/// A connection of a client.
pub(crate) struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        // What is written apart must arrive apart.
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }

    /// The next request; `None` when the client is done.
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
        let authorization = header("authorization");
        let mut first = lines[0].split(' ').map(str::to_owned);
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).await?;
        Ok(Some(Request { method, path, body, authorization }))
    }

    /// Sends a whole answer.
    pub(crate) async fn send(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut answer = head(status, headers, &format!("content-length: {}", body.len())).into_bytes();
        answer.extend_from_slice(body);
        self.writer.write_all(&answer).await
    }

    /// Begins an answer whose body follows in pieces.
    pub(crate) async fn begin(&mut self, headers: &[(&str, &str)]) -> io::Result<()> {
        self.writer.write_all(head(200, headers, "transfer-encoding: chunked").as_bytes()).await
    }

    /// A piece of the body, at most `write` bytes at a time: each is a chunk and a write of its own, so characters that
    /// are torn apart arrive torn apart.
    pub(crate) async fn piece(&mut self, bytes: &[u8], write: Option<usize>) -> io::Result<()> {
        for part in bytes.chunks(write.unwrap_or(usize::MAX)) {
            let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
            chunk.extend_from_slice(part);
            chunk.extend_from_slice(b"\r\n");
            self.writer.write_all(&chunk).await?;
        }
        Ok(())
    }

    /// Half of a piece: what is written right before the connection breaks.
    pub(crate) async fn broken_piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        let head = format!("{:x}\r\n", bytes.len());
        self.writer.write_all(head.as_bytes()).await?;
        self.writer.write_all(&bytes[..bytes.len() / 2]).await
    }

    /// Ends the body.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.writer.write_all(b"0\r\n\r\n").await
    }

    /// Waits. Fails as soon as the client hangs up.
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
        sleep.await; // the next request has come early
        Ok(())
    }
}

fn head(status: u16, headers: &[(&str, &str)], framing: &str) -> String {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Stub\r\n{}{framing}\r\n\r\n", lines.concat())
}
