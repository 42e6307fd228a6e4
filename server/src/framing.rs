//! Refuses HTTP/1 requests whose lines end in a bare line feed.
//!
//! RFC 9112 (section 2.2) lets a server accept them, and hyper does. A proxy in front that does not sees other requests in
//! the same bytes, which is how requests are smuggled past it. hyper has no setting for it, so the bytes are followed here:
//! lines, then as many bytes of a body as the lines said, then lines again. A bare line feed becomes a NUL, which no line may
//! contain, so that hyper itself answers 400 and closes the connection. What hyper refuses for other reasons need not be
//! followed correctly, because nothing is read after it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What HTTP/2 connections begin with (RFC 9113, section 3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// How much of a line is kept, which is enough for the fields that say how long a body is.
const LINE: usize = 128;

/// A socket whose requests have no bare line feeds.
#[derive(Debug)]
pub(crate) struct Checked<S> {
    socket: S,
    lines: Lines,
}

impl<S> Checked<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, lines: Lines::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Checked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.lines.follow(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Checked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

/// Where in the requests of a connection the next byte is.
#[derive(Debug, Default)]
struct Lines {
    place: Place,
    line: Vec<u8>,
    last: u8,
    /// Whether the request line was read.
    has_begun: bool,
    is_chunked: bool,
    length: u64,
    is_http2: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In the request line or a header field.
    #[default]
    Head,
    /// So many bytes of a body, which may be anything, are left.
    Body(u64),
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// In the line that says how long the next chunk is.
    ChunkSize,
    /// In the end of the line that a chunk ends with.
    ChunkEnd,
    /// In the fields after the last chunk.
    Trailers,
}

impl Lines {
    /// Follows the next bytes, and replaces bare line feeds by NUL.
    fn follow(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() && !self.is_http2 {
            let skipped = match &mut self.place {
                Place::Body(left) | Place::Chunk(left) => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= skipped as u64;
                    if *left == 0 {
                        self.place = if matches!(self.place, Place::Body(_)) { Place::Head } else { Place::ChunkEnd };
                    }
                    skipped
                }
                _ => {
                    self.byte(&mut bytes[0]);
                    1
                }
            };
            bytes = &mut bytes[skipped..];
        }
    }

    fn byte(&mut self, byte: &mut u8) {
        let is_bare = *byte == b'\n' && self.last != b'\r';
        self.last = *byte;
        if is_bare {
            *byte = 0;
        } else if *byte == b'\n' {
            self.end_line();
            self.line.clear();
        } else if self.line.len() < LINE {
            self.line.push(*byte);
        }
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        match self.place {
            Place::Head if line.is_empty() && self.has_begun => {
                self.place = if self.is_chunked {
                    Place::ChunkSize
                } else if self.length > 0 {
                    Place::Body(self.length)
                } else {
                    Place::Head
                };
                (self.has_begun, self.is_chunked, self.length) = (false, false, 0);
            }
            Place::Head if self.has_begun => self.field(),
            Place::Head => {
                self.is_http2 = HTTP2.strip_suffix(b"\r\n\r\n") == Some(line);
                // Empty lines before a request are ignored.
                self.has_begun = !line.is_empty();
            }
            Place::ChunkSize => {
                let digits = line.iter().map_while(|&byte| char::from(byte).to_digit(16));
                let size = digits.fold(0_u64, |size, digit| size.saturating_mul(16).saturating_add(digit.into()));
                self.place = if size == 0 { Place::Trailers } else { Place::Chunk(size) };
            }
            Place::ChunkEnd => self.place = Place::ChunkSize,
            Place::Trailers if line.is_empty() => self.place = Place::Head,
            Place::Trailers | Place::Body(_) | Place::Chunk(_) => {}
        }
    }

    /// Notes what a header field says about the length of the body.
    fn field(&mut self) {
        let line = String::from_utf8_lossy(&self.line).to_ascii_lowercase();
        let Some((name, value)) = line.split_once(':') else { return };
        match name {
            "content-length" => self.length = value.trim().parse().unwrap_or_default(),
            "transfer-encoding" => self.is_chunked = value.trim().ends_with("chunked"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of NULs after the bytes were read in pieces of that size.
    fn nuls(bytes: &str, piece: usize) -> Vec<usize> {
        let (mut bytes, mut lines) = (bytes.as_bytes().to_vec(), Lines::default());
        bytes.chunks_mut(piece).for_each(|piece| lines.follow(piece));
        bytes.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(n, _)| n).collect()
    }

    fn check(bytes: &str, expected: &[usize]) {
        for piece in [1, 2, 3, 7, bytes.len()] {
            assert_eq!(nuls(bytes, piece), expected, "{bytes:?} in pieces of {piece}");
        }
    }

    #[test]
    fn bare_line_feeds_in_lines_are_found() {
        check("GET / HTTP/1.1\nHost: a\r\n\r\n", &[14]);
        check("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", &[23]);
        check("GET / HTTP/1.1\r\nHost: a\r\n\n", &[25]);
        check("\nGET / HTTP/1.1\r\n\r\n", &[0]);
    }

    #[test]
    fn bodies_may_have_any_bytes_and_what_follows_them_may_not() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[]);
        let post = "POST / HTTP/1.1\r\ncontent-LENGTH: 4\r\n\r\n\n\n\n\n";
        check(post, &[]);
        check(&format!("{post}GET / HTTP/1.1\n"), &[post.len() + 14]);
        check(&format!("{post}\r\n{post}\n"), &[2 * post.len() + 2]);
    }

    #[test]
    fn chunks_may_have_any_bytes_and_their_lines_may_not() {
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\na;x=\"y\"\r\n\n\n\n\n\n\n\n\n\n\n\r\n0\r\nX: y\r\n\r\n";
        check(chunked, &[]);
        check(&format!("{chunked}GET / HTTP/1.1\n"), &[chunked.len() + 14]);
        check("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\n", &[48]);
        check("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\n", &[51]);
        check("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nX: y\n", &[54]);
    }

    #[test]
    fn http2_is_left_alone() {
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\n", &[]);
    }

    #[test]
    fn long_lines_are_not_kept() {
        let mut lines = Lines::default();
        lines.follow(&mut vec![b'x'; 1 << 20]);
        assert!(lines.line.len() <= LINE);
    }
}
